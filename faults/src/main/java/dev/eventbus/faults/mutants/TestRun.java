package dev.eventbus.faults.mutants;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import java.util.concurrent.atomic.AtomicInteger;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/** Runs one test class in a JVM of its own and ends with the first test that fails. */
public final class TestRun {

    /** How the one line for the parent begins; others are the tests' own. */
    static final String VERDICT = "@verdict ";

    static final int GREEN = 0;
    static final int RED = 1;
    static final int EMPTY = 2;

    private TestRun() {}

    /** @param arguments the test class */
    public static void main(String[] arguments) {
        AtomicInteger passed = new AtomicInteger();
        LauncherFactory.create()
                .execute(
                        LauncherDiscoveryRequestBuilder.request()
                                .selectors(selectClass(arguments[0]))
                                .build(),
                        new TestExecutionListener() {
                            @Override
                            public void executionFinished(TestIdentifier test, TestExecutionResult result) {
                                if (result.getStatus() == TestExecutionResult.Status.FAILED) {
                                    end(RED, test.getLegacyReportingName());
                                } else if (test.isTest()) {
                                    passed.incrementAndGet();
                                }
                            }
                        });
        end(passed.get() == 0 ? EMPTY : GREEN, passed + " tests passed");
    }

    /** At once: threads of a test that failed in the middle must not keep the JVM. */
    private static void end(int status, String verdict) {
        System.out.println(VERDICT + verdict);
        System.out.flush();
        Runtime.getRuntime().halt(status);
    }
}
