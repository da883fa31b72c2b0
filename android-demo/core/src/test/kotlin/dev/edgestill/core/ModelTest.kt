package dev.edgestill.core

import dev.edgestill.core.tasks.ImageClassification
import dev.edgestill.core.tasks.RankedLabels
import dev.edgestill.core.tasks.Values
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

/** A bundle's model with an engine that gives what a test wants: what becomes of outputs. */
class ModelTest {
    private fun gives(vararg outputs: Float) = engine {
        ByteBuffer.allocateDirect(4 * outputs.size).order(ByteOrder.nativeOrder()).also { made -> made.asFloatBuffer().put(outputs) }
    }

    private fun engine(run: () -> ByteBuffer) = EngineFactory { _, _, _ ->
        object : Engine {
            override val name = "none"

            override fun run(input: ByteBuffer): ByteBuffer = run()

            override fun close() = Unit
        }
    }

    private val ten = FloatArray(10) { it.toFloat() }

    private fun model(bundle: String, factory: EngineFactory) = Model(Vectors.bundle(bundle), "model.fp32.tflite", factory)

    private fun image(model: Model) = ByteArray(model.entry.inputs.single().count)

    @Test
    fun `the answer is the one of the bundle's task`() {
        model("version4", gives(*ten)).use { model ->
            assertEquals("Ankle boot", model.predict(image(model)).describe())
            assertEquals(3, (model.predict(image(model), "top" to 3) as RankedLabels).predictions.size)
        }
        model("regression", gives(*ten)).use { model ->
            assertEquals(43.0, (model.predict(image(model)) as Values).values[1].value, 0.0)
        }
    }

    @Test
    fun `an option that the task has not is refused`() {
        val model = model("regression", gives(*ten))
        val error = assertThrows(InputError::class.java) { model.predict(image(model), "top" to 3) }
        assertEquals("model.fp32.tflite: regression has no option 'top'; it has none", error.message)
    }

    @Test
    fun `what is not finite is no answer`() {
        val model = model("version4", gives(*ten.copyOf().also { it[3] = Float.NaN }))
        val error = assertThrows(EngineError::class.java) { model.predict(image(model)) }
        assertEquals("model.fp32.tflite answered with 1 of 10 values that are not finite (NaN or infinity), which is no answer", error.message)
    }

    @Test
    fun `an engine that fails is an error of the engine`() {
        val model = model("version4", engine { throw EngineError("it fell over") })
        assertEquals("it fell over", assertThrows(EngineError::class.java) { model.predict(image(model)) }.message)
    }

    @Test
    fun `a task of somebody's own is given, and must be the bundle's`() {
        val own = object : dev.edgestill.core.tasks.TaskClass by ImageClassification {
            override val name = "mine:Ordinal"

            override fun create(labels: List<String>, settings: Map<String, Any?>, scores: String) = ImageClassification.create(labels, mapOf(), scores)
        }
        Model(Vectors.bundle("own"), "model.fp32.tflite", gives(*ten), task = own).use { assertEquals("Ankle boot", it.predict(image(it)).describe()) }
        val error = assertThrows(InputError::class.java) { Model(Vectors.bundle("version4"), "model.fp32.tflite", gives(*ten), task = own) }
        assertEquals("the bundle's task is 'image-classification', not 'mine:Ordinal'", error.message)
        val unknown = model("own", gives(*ten))
        assertEquals(
            "model.fp32.tflite: its task is mine:Ordinal, which is none of edgestill's: give its class, Model(…, task = …), or use outputs",
            assertThrows(InputError::class.java) { unknown.predict(image(unknown)) }.message,
        )
    }
}
