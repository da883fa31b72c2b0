package dev.edgestill.core.tasks

import dev.edgestill.core.fixed
import dev.edgestill.core.localized
import java.util.Locale

// What both tasks that score classes share.

/** A label and its probability, 0–1. */
data class Prediction(val label: String, val probability: Float)

/** A bar for each label. */
internal fun bars(predictions: List<Prediction>, locale: Locale): List<Row> =
    predictions.map { Row(it.label, "${localized(fixed(100.0 * it.probability, 1), locale)} %", it.probability) }

/** Columns by falling score; of equal scores the first, NaN last. */
internal fun ranked(scores: FloatArray): List<Int> {
    val (known, unknown) = scores.indices.partition { !scores[it].isNaN() }
    // Compared as numbers: to Float.compareTo, -0 is less than 0. A stable sort keeps the order of equal ones.
    return known.sortedWith { one, other -> if (scores[one] > scores[other]) -1 else if (scores[one] < scores[other]) 1 else 0 } + unknown
}
