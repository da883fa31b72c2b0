package dev.edgestill.core.tasks

import dev.edgestill.core.PROBABILITIES
import dev.edgestill.core.Targets
import dev.edgestill.core.Tensor
import java.util.Locale
import kotlin.math.ln
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test

class ImageClassificationTest {
    private val logits = floatArrayOf(0.2f, 0.7f, 0.1f).map { ln(it) }.toFloatArray()

    private fun rows(vararg values: Float) = listOf(Tensor(listOf(values.size / 2, 2), values))

    @Test
    fun `labels are ranked by probability`() {
        val found = taskOf("image-classification", listOf("cat", "dog", "owl")).answer(listOf(Tensor(listOf(1, 3), logits)), mapOf("top" to 2)) as RankedLabels
        assertEquals(listOf("dog", "cat"), found.predictions.map { it.label })
        assertArrayEquals(floatArrayOf(0.7f, 0.2f), found.predictions.map { it.probability }.toFloatArray(), 1e-6f)
        assertEquals("dog", found.describe())
    }

    @Test
    fun `a screen shows bars, and which label is the answer`() {
        val found = taskOf("image-classification", scores = PROBABILITIES).answer(rows(0.125f, 0.875f))
        assertEquals(listOf(Row("1", "87,5 %", 0.875f, main = true), Row("0", "12,5 %", 0.125f)), found.rows(Locale.GERMAN))
    }

    @Test
    fun `accuracy and agreement of classes, where NaN is never right`() {
        val task = taskOf("image-classification", listOf("a", "b"))
        val outputs = rows(2f, 1f, 1f, 2f, 2f, 1f, Float.NaN, 2f)
        assertEquals(mapOf("accuracy" to 0.5), task.quality(outputs, Targets(listOf(4), doubleArrayOf(0.0, 1.0, 1.0, 1.0))))
        assertEquals(0.5, task.agreement(outputs, rows(2f, 1f, 2f, 1f, 2f, 1f, 1f, 2f)), 0.0)
    }
}
