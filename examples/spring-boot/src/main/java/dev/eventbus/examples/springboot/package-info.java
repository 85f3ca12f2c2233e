/** Spring Boot at both ends: publishing from {@code @Transactional} methods, and handling in Spring's transactions. */
@NullMarked
package dev.eventbus.examples.springboot;

import org.jspecify.annotations.NullMarked;
