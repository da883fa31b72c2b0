package dev.edgestill.core.tasks

import java.util.Locale

/** What a task says of one sample. Each task has a class of its own, with what it says as plain data. */
interface Answer {
    /** In a few words. */
    fun describe(): String

    /** As a screen shows it, numbers as in this language; none where there is nothing to say. */
    fun rows(locale: Locale = Locale.ROOT): List<Row>
}

/**
 * A line of an answer on a screen.
 *
 * @property share 0–1, shown as a bar; null where there is none. main: the line is the answer itself, others come after it.
 */
data class Row(val name: String, val value: String, val share: Float? = null, val main: Boolean = false)
