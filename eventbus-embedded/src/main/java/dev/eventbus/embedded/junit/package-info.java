/** The servers of tests in one annotation, {@link dev.eventbus.embedded.junit.EventBusServers}; for whoever has JUnit Jupiter. */
@NullMarked
package dev.eventbus.embedded.junit;

import org.jspecify.annotations.NullMarked;
