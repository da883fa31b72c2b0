package dev.edgestill.core.tasks

import java.util.Locale

/** The prediction of a task for one sample. Each task has its own class, with the prediction as plain data. */
interface Answer {
    /** In a few words. */
    fun describe(): String

    /** As a screen shows it, numbers as in this language; none where there is nothing to say. */
    fun rows(locale: Locale = Locale.ROOT): List<Row>
}

/**
 * A line of a prediction on a screen.
 *
 * @property share 0–1, shown as a bar; null where there is none. main: the line is the prediction itself, others follow it.
 */
data class Row(val name: String, val value: String, val share: Float? = null, val main: Boolean = false)
