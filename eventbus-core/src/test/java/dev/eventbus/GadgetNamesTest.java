package dev.eventbus;

import static dev.eventbus.FailureReason.BAD_ENVELOPE;
import static dev.eventbus.FailureReason.BAD_VALUE;
import static dev.eventbus.FailureReason.UNKNOWN_TYPE;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.jsontype.impl.LaissezFaireSubTypeValidator;
import java.io.File;
import java.io.IOException;
import java.lang.reflect.Constructor;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/**
 * Records that name classes with which readers of JSON and of serialized objects have been attacked. Library, Jackson and Kafka's client are
 * loaded once more, by a class loader that hears of each class that any of them asks for, whether it is there or not.
 */
class GadgetNamesTest {

    private static final List<String> GADGETS = """
            bsh.XThis
            ch.qos.logback.core.db.DriverManagerConnectionSource
            ch.qos.logback.core.db.JNDIConnectionSource
            com.caucho.config.types.ResourceRef
            com.mchange.v2.c3p0.ComboPooledDataSource
            com.mchange.v2.c3p0.JndiRefForwardingDataSource
            com.mchange.v2.c3p0.WrapperConnectionPoolDataSource
            com.mysql.cj.jdbc.admin.MiniAdmin
            com.newrelic.agent.deps.ch.qos.logback.core.db.JNDIConnectionSource
            com.nqadmin.rowset.JdbcRowSetImpl
            com.p6spy.engine.spy.P6DataSource
            com.sun.deploy.security.ruleset.DRSHelper
            com.sun.org.apache.bcel.internal.util.ClassLoader
            com.sun.org.apache.xalan.internal.xsltc.trax.TemplatesImpl
            com.sun.rowset.JdbcRowSetImpl
            com.zaxxer.hikari.HikariConfig
            com.zaxxer.hikari.HikariDataSource
            java.beans.EventHandler
            java.beans.Expression
            java.lang.ProcessBuilder
            java.net.URLClassLoader
            java.rmi.server.UnicastRemoteObject
            java.util.logging.FileHandler
            java.util.logging.SocketHandler
            javax.imageio.ImageIO
            javax.management.BadAttributeValueExpException
            javax.naming.InitialContext
            javax.script.ScriptEngineManager
            javax.sql.rowset.BaseRowSet
            net.sf.ehcache.transaction.manager.DefaultTransactionManagerLookup
            oracle.jdbc.connector.OracleManagedConnectionFactory
            org.apache.activemq.ActiveMQConnectionFactory
            org.apache.axis2.jaxws.spi.handler.HandlerResolverImpl
            org.apache.commons.collections.functors.InvokerTransformer
            org.apache.commons.collections4.functors.InstantiateTransformer
            org.apache.commons.configuration.JNDIConfiguration
            org.apache.commons.dbcp2.datasources.SharedPoolDataSource
            org.apache.commons.fileupload.disk.DiskFileItem
            org.apache.ibatis.datasource.jndi.JndiDataSourceFactory
            org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule
            org.apache.logging.log4j.core.net.JndiManager
            org.apache.openjpa.ee.RegistryManagedRuntime
            org.apache.shiro.jndi.JndiObjectFactory
            org.apache.xalan.xsltc.trax.TemplatesImpl
            org.apache.xbean.propertyeditor.JndiConverter
            org.codehaus.groovy.runtime.MethodClosure
            org.hibernate.jmx.StatisticsService
            org.springframework.aop.config.MethodLocatingFactoryBean
            org.springframework.beans.factory.ObjectFactory
            org.springframework.context.support.ClassPathXmlApplicationContext
            """.lines().toList();

    @Test
    void S_12_no_class_that_a_record_names_is_loaded() throws Exception {
        assertThat(GADGETS).hasSize(50).doesNotHaveDuplicates();
        assertThat(loadedBy(Decoding.class)).isEmpty();
    }

    /** Else the other test could not fail. */
    @Test
    void what_a_reader_loads_that_takes_classes_from_its_input_is_heard_of() throws Exception {
        assertThat(loadedBy(Trusting.class)).containsExactlyInAnyOrderElementsOf(GADGETS);
    }

    /** Which of the classes are asked for while a reader takes all the texts that name one. */
    private static List<String> loadedBy(Class<?> reader) throws Exception {
        Thread thread = Thread.currentThread();
        ClassLoader before = thread.getContextClassLoader();
        try (Listening loader = new Listening()) {
            thread.setContextClassLoader(loader);
            Constructor<?> constructor = loader.loadClass(reader.getName()).getDeclaredConstructor();
            constructor.setAccessible(true); // to the JVM it is of another package
            @SuppressWarnings("unchecked") // of the JDK, which both loaders share
            Consumer<String> names = (Consumer<String>) constructor.newInstance();
            names.accept("dev.eventbus.Unnamed"); // what the library itself needs is loaded now
            loader.asked.clear();
            GADGETS.forEach(names);
            return GADGETS.stream().filter(loader.asked::contains).toList();
        } finally {
            thread.setContextClassLoader(before);
        }
    }

    /** Loads what is on the class path itself, and hears of all that is asked for. */
    private static final class Listening extends URLClassLoader {

        private final Set<String> asked = ConcurrentHashMap.newKeySet();

        Listening() {
            super(classPath(), ClassLoader.getPlatformClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            asked.add(name);
            return super.loadClass(name, resolve);
        }

        private static URL[] classPath() {
            return Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
                    .map(Listening::url)
                    .toArray(URL[]::new);
        }

        private static URL url(String entry) {
            try {
                return Path.of(entry).toUri().toURL();
            } catch (MalformedURLException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    /** The library: every place of a record where a name may stand. Made by the listening loader. */
    static final class Decoding extends DecoderFixture implements Consumer<String> {

        @Override
        public void accept(String name) {
            List<@Nullable FailureReason> outcomes = new ArrayList<>();
            naming(name).forEach(record -> outcomes.add(reasonOf(record)));
            assertThat(outcomes).as("null is an event").contains(null, UNKNOWN_TYPE, BAD_ENVELOPE, BAD_VALUE);
        }

        private static List<ConsumerRecord<byte[], byte[]>> naming(String name) {
            String typed =
                    "{\"@class\":\"%1$s\",\"@type\":\"%1$s\",\"class\":\"%1$s\",\"val\":[\"%1$s\",{}]}".formatted(name);
            ConsumerRecord<byte[], byte[]> everyHeader = Samples.record("u", thing("\"count\":1"));
            for (String header : List.of("__TypeId__", "__KeyTypeId__", "contentType", "content-type", "class", name)) {
                everyHeader.headers().add(header, name.getBytes(UTF_8));
            }
            return List.of(
                    Samples.record("u", thing("\"count\":1").replace("THING", name)),
                    Samples.record(name, thing("\"count\":1").replace("\"u\"", "\"" + name + "\"")),
                    withHeader("id", name),
                    withHeader("eventType", name),
                    everyHeader,
                    Samples.record("u", thing("\"count\":1,\"@class\":\"" + name + "\"")),
                    Samples.record("u", thing("\"count\":1,\"unknown\":" + typed)),
                    Samples.record("u", thing("\"count\":1,\"any\":" + typed)),
                    Samples.record("u", thing("\"count\":1,\"any\":[\"" + name + "\",{}]")),
                    Samples.record("u", thing("\"count\":1,\"more\":" + typed)),
                    Samples.record("u", thing("\"count\":1,\"text\":[\"" + name + "\",\"x\"]")),
                    Samples.record("u", thing("\"count\":1,\"chosen\":" + typed)));
        }
    }

    /** A reader as it must not be. Made by the listening loader. */
    static final class Trusting implements Consumer<String> {

        private final ObjectMapper mapper =
                new ObjectMapper().activateDefaultTyping(LaissezFaireSubTypeValidator.instance);

        @Override
        public void accept(String name) {
            try {
                mapper.readValue("[\"%s\",{}]".formatted(name), Object.class);
            } catch (IOException | LinkageError tooLate) {
                assertThat(tooLate)
                        .as("it may not be there, or Jackson knows it")
                        .isNotNull();
            }
        }
    }
}
