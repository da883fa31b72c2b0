package dev.edgestill.core

import java.nio.ByteBuffer
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test

/** What of a measurement depends on the task; times and engines are measured in the app's tests. */
class MeasureBundleTest {
    private val rule = Rule(minCalls = 1, minSeconds = 0.0, turnSeconds = 0.0)

    /** -1 as int8, and NaN as float32. */
    private val ones = EngineFactory { _, _, _ ->
        object : Engine {
            override val name = "none"

            override fun run(input: ByteBuffer): ByteBuffer = ByteBuffer.wrap(ByteArray(40) { -1 })

            override fun close() = Unit
        }
    }

    private fun qualities(bundle: String, samples: String): Map<Any?, Any?> {
        val found = measureBundle(Vectors.bundle(bundle), mapOf("litert" to ones), listOf(1), rule, mapOf(), readSamples(Vectors.bytes(samples))).measurement
        assertEquals(2, found["schema_version"])
        return found["files"].list().associate { it.field("file") to it.field("quality") }
    }

    @Test
    fun `quality is by the measures of the task, and what is no number of JSON is left out`() {
        val found = qualities("regression", "samples-regression.npz")
        assertEquals(setOf("R²", "MAE"), (found["model.tflite"] as Map<*, *>).keys)
        assertNull(found["model.fp32.tflite"]) // all of its answers are NaN, and its errors infinite
    }

    @Test
    fun `a task without measures has no quality`() = assertEquals(setOf(null), qualities("own", "samples.npz").values.toSet())
}
