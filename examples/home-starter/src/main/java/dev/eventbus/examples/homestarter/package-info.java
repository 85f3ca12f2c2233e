/**
 * Four services as a team runs them, and what it does with them on call.
 *
 * <p>To copy: {@link dev.eventbus.examples.homestarter.HomeStarterTopics} and {@link dev.eventbus.examples.homestarter.Events}; the programs
 * {@link dev.eventbus.examples.homestarter.AssetService}, {@link dev.eventbus.examples.homestarter.HousingService}, {@link
 * dev.eventbus.examples.homestarter.CalculatorService} and {@link dev.eventbus.examples.homestarter.DlqMonitor} with what they use; {@link
 * dev.eventbus.examples.homestarter.Operations} for an operator's work. The rest starts servers and tells the story.
 */
@NullMarked
package dev.eventbus.examples.homestarter;

import org.jspecify.annotations.NullMarked;
