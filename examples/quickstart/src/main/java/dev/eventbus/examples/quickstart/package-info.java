/**
 * Asset and Housing publish, Calculator subscribes, Monitoring watches the dead letters: in one process, on real servers.
 *
 * <p>To copy: {@link dev.eventbus.examples.quickstart.Events} for declaring, {@link dev.eventbus.examples.quickstart.AssetService}
 * for publishing, {@link dev.eventbus.examples.quickstart.Calculator} for consuming. The rest tells the story.
 */
@NullMarked
package dev.eventbus.examples.quickstart;

import org.jspecify.annotations.NullMarked;
