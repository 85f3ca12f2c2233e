/** What the inbox has to keep on every database: run here on H2, and on the real ones beside this module. */
@NullMarked
package dev.eventbus.it.inbox;

import org.jspecify.annotations.NullMarked;
