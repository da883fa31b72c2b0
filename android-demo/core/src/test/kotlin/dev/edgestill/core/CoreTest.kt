package dev.edgestill.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class CoreTest {
    @Test
    fun `no engine sees a file that is not what the manifest says`() {
        val cases = Vectors.json("broken/expected.json").list()
        val changed = cases.first { "model.pte" in it.field("changed").orEmpty() }.field("bundle") as String
        var reached = false
        val factory = EngineFactory { _, _, _ -> throw EngineError("reached").also { reached = true } }
        val bundle = Bundle.open(FolderStore(Vectors.file("broken/$changed")))
        assertThrows(BundleIntegrityError::class.java) { Model(bundle, "model.pte", factory) }
        assertFalse(reached)
    }

    @Test
    fun `pixels of another number, and pictures that are none, are refused`() {
        val processor = ImageProcessor(2, 2, listOf(0.0), listOf(1.0))
        val spec = TensorSpec(listOf(1, 1, 2, 2), "float32", "NCHW")
        val error = assertThrows(InputError::class.java) { processor.converter(spec)(ByteArray(5)) }
        assertEquals("an image has 5 values; the model takes 2 × 2 × 1", error.message)
        assertThrows(InputError::class.java) { Pixels(2, 2, 3, ByteArray(11)) }
        assertThrows(InputError::class.java) { Pixels(0, 2, 3, ByteArray(0)) }
        assertThrows(InputError::class.java) { Pixels(1, 1, 5, ByteArray(5)) }
    }

    @Test
    fun `what is no recording is refused with the reason`() {
        val whole = Vectors.bytes("recordings/0.wav")
        val cases = mapOf(
            byteArrayOf() to "is empty",
            "fLaC".toByteArray() + ByteArray(100) to "is no WAV file",
            whole.copyOf(12) to "it has no samples",
            whole.copyOf(44) to "has no samples",
            whole.copyOf().also { it[20] = 2 } to "no WAV file of plain samples",
            whole.copyOf().also { it[22] = 33 } to "of 33 channels",
            whole.copyOf().also { for (at in 24..27) it[at] = 0 } to "rate is samples a second",
            whole.copyOf(12) + whole.copyOfRange(36, whole.size) to "before their description",
        )
        for ((content, reason) in cases) {
            val error = assertThrows(InputError::class.java) { readWav(content) }
            assertTrue("${error.message} does not say: $reason", reason in error.message!!)
        }
    }

    @Test
    fun `a run of calls counts what it is asked for, and ends when it is told to`() {
        var calls = 0
        val shares = ArrayList<Double>()
        assertEquals(50, measureCalls(50, { shares.add(it) }) { calls++ }.calls)
        assertEquals(1 + 20 + 50, calls) // the first and those that warm up are not counted
        assertEquals(listOf(0.2, 0.4, 0.6, 0.8, 1.0), shares)
        var left = 7
        assertEquals(1 + 7, measureCalls(50, goOn = { left-- > 0 }) {}.calls) // one there always is
    }

    @Test
    fun `functions that are measured together have turns`() {
        val order = ArrayList<String>()
        val found = measureInTurns(mapOf("a" to { order += "a" }, "b" to { order += "b" }), Rule(minCalls = 30, minSeconds = 0.0, turnSeconds = 0.0))
        assertEquals(setOf("a", "b"), found.keys)
        assertTrue(found.values.all { it.calls == 30 })
        assertEquals(listOf("a", "a", "b", "b"), order.takeLast(4)) // each turn: a call that is not counted, and one that is
    }

    @Test
    fun `what is no npz is refused`() {
        for (content in listOf(byteArrayOf(), "PK".toByteArray(), writeNpz(mapOf("images" to Tensor(listOf(1, 1), floatArrayOf(1f)))))) {
            assertThrows(InputError::class.java) { readSamples(content) }
        }
    }

    private fun Any?.orEmpty(): List<Any?> = if (this == null) listOf() else list()
}
