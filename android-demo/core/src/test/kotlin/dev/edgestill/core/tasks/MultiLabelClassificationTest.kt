package dev.edgestill.core.tasks

import dev.edgestill.core.PROBABILITIES
import dev.edgestill.core.Targets
import dev.edgestill.core.Tensor
import dev.edgestill.core.readJson
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class MultiLabelClassificationTest {
    private val names = listOf("sea", "sky", "tree")

    @Suppress("UNCHECKED_CAST")
    private fun task(labels: List<String> = names, settings: String = "{}", scores: String = PROBABILITIES) =
        taskOf("multi-label-classification", labels, readJson(settings.reader()) as Map<String, Any?>, scores)

    private fun rows(columns: Int, vararg values: Float) = listOf(Tensor(listOf(values.size / columns, columns), values))

    @Test
    fun `labels that reach their threshold are given`() {
        val (task, shares) = task(settings = """{"thresholds": [0.5, 0.9, 0.25]}""") to rows(3, 0.5f, 0.75f, 0.625f)
        assertEquals("tree, sea", task.answer(shares).describe())
        assertEquals("sky, tree, sea", task.answer(shares, mapOf("threshold" to 0)).describe())
        assertEquals("sky", task.answer(shares, mapOf("threshold" to 0, "top" to 1)).describe())
    }

    @Test
    fun `no label at all is an answer, and nothing to show`() {
        val found = task().answer(rows(3, 0.1f, 0.2f, 0.3f))
        assertEquals("none", found.describe())
        assertTrue(found.rows().isEmpty())
    }

    @Test
    fun `average precision by hand`() {
        // Ranked: hit, miss, hit, miss. Precision is 1 at the first hit and 2 / 3 at the second; recall grows by a half each.
        val wanted = booleanArrayOf(true, false, true, false)
        assertEquals(0.5 + 0.5 * 2 / 3, averagePrecision(floatArrayOf(0.9f, 0.8f, 0.7f, 0.1f), wanted), 1e-15)
        assertEquals(0.5, averagePrecision(FloatArray(4), wanted), 0.0) // one score for all: one step, at the share of positives
        assertEquals(0.5, averagePrecision(floatArrayOf(Float.NaN, 0.8f, Float.NaN, 0.1f), wanted), 0.0) // NaN ranks last
    }

    @Test
    fun `mAP and F1 leave out what no sample has`() {
        val targets = Targets(listOf(3, 3), doubleArrayOf(1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0))
        val found = task(scores = "logits").quality(rows(3, 3f, -3f, 2f, 3f, 3f, -2f, -3f, -3f, -2f), targets)
        // The first: given twice, both right. The second: given once, right, one missed; ranks it first, then the others together.
        assertEquals((1 + (1 + 2.0 / 3) / 2) / 2, found.getValue("mAP"), 1e-15)
        assertEquals((1 + 2.0 / 3) / 2, found.getValue("macro F1"), 1e-15)
    }

    @Test
    fun `the same labels are all of them`() {
        val same = task(listOf("a", "b")).same(rows(2, 0.6f, 0.6f, 0.6f, 0.1f, Float.NaN, 1f), rows(2, 0.9f, 0.9f, 0.9f, 0.9f, 1f, 1f))
        assertEquals(listOf(true, false, false), same.toList())
    }

    @Test
    fun `probabilities of what float32 can hardly hold`() {
        assertArrayEquals(floatArrayOf(0f, 0.5f, 1f), sigmoid(floatArrayOf(-3e38f, 0f, 3e38f)), 0f)
    }
}
