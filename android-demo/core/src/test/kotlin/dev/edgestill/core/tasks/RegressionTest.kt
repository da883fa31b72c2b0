package dev.edgestill.core.tasks

import dev.edgestill.core.InputError
import dev.edgestill.core.Targets
import dev.edgestill.core.Tensor
import dev.edgestill.core.readJson
import java.util.Locale
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class RegressionTest {
    @Suppress("UNCHECKED_CAST")
    private fun task(labels: List<String>, settings: String = "{}") = taskOf("regression", labels, readJson(settings.reader()) as Map<String, Any?>)

    private fun rows(columns: Int, vararg values: Float) = listOf(Tensor(listOf(values.size / columns, columns), values))

    private fun column(vararg values: Double) = Targets(listOf(values.size), values)

    @Test
    fun `values come in units of the target`() {
        val task = task(listOf("width", "mass"), """{"mean": [10, 0.5], "std": [2, 0.25], "units": ["mm", "kg"]}""")
        val found = task.answer(rows(2, 1f, -1f)) as Values
        assertEquals(listOf(Value("width", 12.0, "mm"), Value("mass", 0.25, "kg")), found.values)
        assertEquals("width 12 mm, mass 0.25 kg", found.describe())
        assertEquals(listOf(Row("width", "12 mm"), Row("mass", "0,25 kg")), found.rows(Locale.GERMAN))
    }

    @Test
    fun `R² and MAE by hand`() {
        val targets = column(1.0, 2.0, 3.0, 4.0) // mean 2.5, squares about it 2.25 + 0.25 + 0.25 + 2.25 = 5
        val task = task(listOf("x"))
        val found = task.quality(rows(1, 1f, 2f, 3f, 5f), targets) // one is off by 1
        assertEquals(1 - 1 / 5.0, found.getValue("R²"), 1e-15)
        assertEquals(0.25, found.getValue("MAE"), 0.0)
        assertEquals(Double.NEGATIVE_INFINITY, task.quality(rows(1, Float.NaN, 2f, 3f, 4f), targets).getValue("R²"), 0.0)
    }

    @Test
    fun `a target that never varies has no R²`() {
        val found = task(listOf("x", "fixed")).quality(rows(2, 1f, 7f, 3f, 7f), Targets(listOf(2, 2), doubleArrayOf(1.0, 7.0, 3.0, 7.0)))
        assertEquals(mapOf("R²" to 1.0, "MAE" to 0.0), found)
        val error = assertThrows(InputError::class.java) { task(listOf("fixed")).quality(rows(1, 7f, 7f), column(7.0, 7.0)) }
        assertEquals("the targets never vary: there is no R² of them", error.message)
    }

    @Test
    fun `values within the tolerance are the same`() {
        val task = task(listOf("x", "y"), """{"tolerance": [0.5, 0]}""")
        val same = task.same(rows(2, 1f, 1f, 1f, 1f, 1f, 1f, Float.NaN, 1f), rows(2, 1.5f, 1f, 1.75f, 1f, 1f, 1.25f, 1f, 1f))
        assertEquals(listOf(true, false, false, false), same.toList())
    }
}
