/** What eventbus guarantees, on real servers. {@link dev.eventbus.it.Scene} is one test's own corner of them. */
package dev.eventbus.it;
