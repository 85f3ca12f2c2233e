package dev.eventbus.it.faults;

import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ExtensionContext.Store;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/** Gives tests the one {@link FaultyKafka} of this JVM, without a fault at the beginning of each. */
public final class FaultyKafkaExtension implements ParameterResolver, AfterEachCallback {

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext test) {
        return parameter.getParameter().getType() == FaultyKafka.class;
    }

    @Override
    public FaultyKafka resolveParameter(ParameterContext parameter, ExtensionContext test) {
        return store(test).computeIfAbsent(FaultyKafka.class, any -> FaultyKafka.start(), FaultyKafka.class);
    }

    @Override
    public void afterEach(ExtensionContext test) {
        FaultyKafka kafka = store(test).get(FaultyKafka.class, FaultyKafka.class);
        if (kafka != null) {
            kafka.heal();
        }
    }

    private static Store store(ExtensionContext test) {
        return test.getRoot().getStore(Namespace.create(FaultyKafkaExtension.class));
    }
}
