package dev.edgestill.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

private val OWN_WORDS = listOf("it has format version", "Expecting", "codec", "nested", "no JSON", "twice", "processor: ")

/** The Python runtime's own answers, to the last bit. */
class AsPythonTest {
    @Test
    fun `pixels become the same tensor`() {
        val cases = Vectors.json("tensors.json").list()
        assertTrue(cases.size >= 6)
        cases.forEachIndexed { number, case ->
            val (mean, std) = listOf("mean", "std").map { key -> case.field(key).list().map { it.number() } }
            val spec = TensorSpec(
                shape = case.field("shape").list().map { it.whole() },
                dtype = case.field("dtype") as String,
                layout = case.field("layout") as String,
                scale = case.field("scale")?.number()?.toFloat(),
                zeroPoint = case.field("zero_point").whole(),
            )
            val processor = ImageProcessor(case.field("height").whole(), case.field("width").whole(), mean, std)
            val tensor = processor.converter(spec)(Vectors.bytes("pixels-$number.bin"))
            val bytes = ByteArray(tensor.remaining()).also { tensor.get(it) }
            assertArrayEquals("case $number", Vectors.bytes("tensor-$number.bin"), bytes)
        }
    }

    @Test
    fun `times are summed up the same`() {
        val case = Vectors.json("latency.json")
        val said = case.field("summary")
        val found = summarize(9.0, case.field("times").list().map { it.number() }.toDoubleArray())
        val pairs = mapOf("p50" to found.p50, "p90" to found.p90, "p99" to found.p99, "mean" to found.mean, "min" to found.min, "first" to found.first)
        for ((name, value) in pairs) assertEquals(name, said.field(name).number(), value, 0.5e-5) // Python rounds to 1e-5
        assertEquals(said.field("calls").whole(), found.calls)
        assertEquals(said.field("drift").number(), found.drift, 0.5e-4)
    }

    @Test
    fun `photos become the same pixels`() {
        val all = Vectors.json("processing.json")
        val processors = all.field("image").list().map { readProcessor(it as Map<*, *>) as ImageProcessor }
        val photos = all.field("photos").list()
        photos.forEachIndexed { number, photo ->
            val picture = picture(photo, Vectors.bytes("photos/$number.bin"))
            compare(photo, "photos/$number.pixels", processors) { it.pixels(picture) }
        }
        assertTrue("${photos.size} photos", photos.size >= 30)
        report(photos.size, "photos")
    }

    @Test
    fun `recordings become the same pixels`() {
        val all = Vectors.json("processing.json")
        val processors = all.field("audio").list().map { readProcessor(it as Map<*, *>) as AudioProcessor }
        val recordings = all.field("recordings").list()
        recordings.forEachIndexed { number, recording ->
            val read = readWav(Vectors.bytes("recordings/$number.wav"))
            compare(recording, "recordings/$number.pixels", processors) { it.pixels(read) }
        }
        assertTrue("${recordings.size} recordings", recordings.size >= 10)
        report(recordings.size, "recordings")
    }

    /** For `proof/prove.py`, which prints it. */
    private fun report(count: Int, what: String) = Vectors.file("kotlin-$what.txt").writeText("$count $what")

    private fun picture(photo: Any?, stored: ByteArray): Picture {
        val (height, width, channels) = listOf("height", "width", "channels").map { photo.field(it).whole() }
        val orientation = photo.field("orientation").whole()
        if (photo.field("bits").whole() == 8) return Pixels(height, width, channels, stored, orientation)
        val values = ShortArray(stored.size / 2).also { ByteBuffer.wrap(stored).order(ByteOrder.nativeOrder()).asShortBuffer().get(it) }
        return Pixels.of16(height, width, channels, values, orientation)
    }

    private fun <P : Processor> compare(case: Any?, file: String, processors: List<P>, pixels: (P) -> ByteArray) {
        val expected = ByteBuffer.wrap(Vectors.bytes(file))
        for (number in case.field("processors").list()) {
            val processor = processors[number.whole()]
            val found = pixels(processor)
            assertArrayEquals("${case.field("name")}, $processor", ByteArray(processor.count).also { expected.get(it) }, found)
        }
        assertEquals(0, expected.remaining())
    }

    @Test
    fun `the same processors are refused`() {
        val cases = Vectors.json("processing.json").field("json").list()
        assertTrue(cases.size > 70)
        for (case in cases) {
            val read = runCatching { readProcessor(case.field("processor") as Map<*, *>) }
            val error = read.exceptionOrNull()
            assertEquals("${case.field("processor")}: $error", case.field("taken"), read.isSuccess)
            assertTrue("$error", error == null || error is InputError)
        }
    }

    @Test
    fun `bundles that lie are refused with the same error, naming the same files`() {
        val cases = Vectors.json("broken/expected.json").list()
        assertTrue(cases.size > 45)
        val others = ArrayList<String>()
        for (case in cases) {
            val name = case.field("bundle") as String
            val error = runCatching { Bundle.open(FolderStore(Vectors.file("broken/$name"))).verify() }.exceptionOrNull()
            assertEquals("$name: $error", case.field("error"), error?.javaClass?.simpleName ?: "")
            val reason = case.field("reason") as String
            // Why a file is no JSON, each JSON reader says in its own words; so does each processor. A file that is too large
            // Python does not get to read.
            val here = error?.message.orEmpty().substringAfter("cannot be used: ", "")
            if (reason.isNotEmpty() && here != reason && OWN_WORDS.none { it in reason }) others += "$name: $here\nin Python: $reason"
            if (error is BundleIntegrityError) {
                assertEquals(case.field("changed"), error.changed.sorted())
                assertEquals(case.field("missing"), error.missing.sorted())
                assertEquals(case.field("extra"), error.extra.sorted())
            }
        }
        assertEquals("", others.joinToString("\n"))
    }

    @Test
    fun `samples are read as numpy wrote them, and answers written as numpy reads them`() {
        val samples = readSamples(Vectors.bytes("samples.npz"))
        val images = Vectors.images(Vectors.bundle())
        assertEquals(images.size, samples.images.size)
        images.zip(samples.images).forEach { (said, found) -> assertArrayEquals(said, found) }
        assertEquals(listOf(images.size), samples.targets.shape)
        val before = readSamples(Vectors.bytes("samples-of-before.npz")) // calls its targets labels
        assertArrayEquals(before.targets.values, samples.targets.values, 0.0)
        val rows = listOf(floatArrayOf(1f, -2.5f), floatArrayOf(Float.MIN_VALUE, 3e38f))
        val back = readNpz(writeNpz(mapOf("model.pte" to Tensor.of(rows.map { Tensor(listOf(1, 2), it) })))).getValue("model.pte")
        assertEquals(listOf(2, 2), back.shape)
        assertEquals("<f4", back.descr)
        val numbers = back.bytes.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        assertEquals(rows.flatMap { it.toList() }, List(4) { numbers.get() })
    }
}
