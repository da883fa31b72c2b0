package dev.edgestill.core.tasks

import dev.edgestill.core.InputError
import dev.edgestill.core.JsonNumber
import dev.edgestill.core.Targets
import dev.edgestill.core.Tensor
import dev.edgestill.core.Vectors
import dev.edgestill.core.double
import dev.edgestill.core.field
import dev.edgestill.core.list
import dev.edgestill.core.whole
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

// numpy adds in pairs, this code from the first to the last: sums of the same doubles differ in their last bits.
private const val SUMS = 1e-12

/** What Python's tasks answer and measure (`proof/tasks.py`), each bit of it. */
class TasksAsPythonTest {
    private val cases = Vectors.json("tasks.json").field("cases").list()

    @Test
    fun `answers are the same, to the last bit`() {
        var answers = 0
        for (case in cases) {
            val (task, output) = task(case) to tensor(case.field("outputs"))
            for (answered in case.field("answers").list()) {
                val options = (answered.field("options") as Map<*, *>).entries.associate { (name, value) -> name as String to option(name, value) }
                answered.field("samples").list().forEachIndexed { number, expected ->
                    val sample = if (output.shape.size > 1) output.sample(number) else output
                    compare(case, expected, { task.answer(listOf(sample), options) }) { said, found ->
                        assertEquals(said.field("parts").list().map { part(it) }, parts(found))
                        assertEquals(said.field("described"), found.describe())
                    }
                    answers++
                }
            }
        }
        assertTrue("$answers answers", answers > 3000)
        Vectors.file("kotlin-answers.txt").writeText("$answers answers of ${cases.map { it.field("task") }.distinct().size} tasks") // for proof/prove.py
    }

    @Test
    fun `measures are the same, but for the last bits of sums`() {
        for (case in cases) {
            val targets = Targets(
                case.field("targets").field("shape").list().map { it.whole() },
                case.field("targets").field("numbers").list().map { it.double() }.toDoubleArray(),
            )
            compare(case, case.field("quality"), { task(case).quality(listOf(tensor(case.field("outputs"))), targets) }) { said, found ->
                assertEquals((said as Map<*, *>).keys, found.keys)
                for ((name, value) in found) {
                    val expected = said[name].double()
                    val most = if (name == "accuracy" || expected.isInfinite()) 0.0 else SUMS * maxOf(1.0, Math.abs(expected))
                    assertEquals("$name of ${brief(case)}", expected, value, most)
                }
            }
        }
    }

    @Test
    fun `agreement is the same, sample by sample`() {
        for (case in cases) {
            val (first, second) = listOf("outputs", "other").map { listOf(tensor(case.field(it))) }
            compare(case, case.field("same"), { task(case).same(first, second) }) { said, found -> assertEquals(said, found.toList()) }
            compare(case, case.field("agreement"), { task(case).agreement(first, second) }) { said, found -> assertEquals(said.double(), found, 0.0) }
        }
    }

    @Test
    fun `the same settings are refused, with the same words`() {
        val all = Vectors.json("tasks.json").field("settings").list()
        assertTrue(all.size > 100)
        for (case in all) compare(case, case, { task(case) }) { _, _ -> }
    }

    @Test
    fun `numbers are shown with the same digits`() {
        val (share, plain) = Measure("accuracy") to Measure("MAE", "mm", higherIsBetter = false)
        for (case in Vectors.json("tasks.json").field("numbers").list()) {
            val number = case.field("number").double()
            assertEquals(case.field("share"), share.show(number))
            assertEquals(case.field("plain"), plain.show(number))
        }
    }

    /** Python's result, or its error with the same words. */
    private fun <T> compare(case: Any?, expected: Any?, act: () -> T, same: (Any?, T) -> Unit) {
        val found = runCatching(act)
        val error = found.exceptionOrNull()
        assertTrue("${brief(case)}: $error", error == null || error is InputError)
        val said = (expected as Map<*, *>)["error"] as String?
        assertEquals(brief(case), said?.let { here(it) }, error?.message)
        if (said == null) same(expected["found"], found.getOrThrow())
    }

    /** There is no `logits`, `infer` or `load` here. */
    private fun here(said: String) = said.replace("load(path, task=…)", "Model(…, task = …)").replace(Regex("use logits,? or infer"), "use outputs")

    private fun brief(case: Any?) = "${case.field("task")} ${case.field("labels")} ${case.field("settings")}".take(200)

    @Suppress("UNCHECKED_CAST")
    private fun task(case: Any?): Task =
        taskOf(
            case.field("task") as String, case.field("labels") as List<String>, case.field("settings") as Map<String, Any?>,
            case.field("scores") as String? ?: "logits",
        )

    private fun tensor(said: Any?) =
        Tensor(said.field("shape").list().map { it.whole() }, said.field("bits").list().map { Float.fromBits(it.whole()) }.toFloatArray())

    private fun option(name: Any?, value: Any?): Any = if (name == "top") value.whole() else (value as JsonNumber).toDouble()

    private fun part(said: Any?): List<Any?> {
        val (name, value) = said.list()
        return if (value is JsonNumber) listOf(name, value.whole()) else listOf(name, value.double().toBits(), said.list()[2])
    }

    private fun parts(answer: Answer): List<List<Any?>> =
        when (answer) {
            is RankedLabels -> answer.predictions.map { listOf(it.label, it.probability.toBits()) }
            is GivenLabels -> answer.predictions.map { listOf(it.label, it.probability.toBits()) }
            else -> (answer as Values).values.map { listOf(it.name, it.value.toBits(), it.unit) }
        }
}
