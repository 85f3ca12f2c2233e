/** The rules of the house, on the sources and classes of every published module. */
package dev.eventbus.it.house;
