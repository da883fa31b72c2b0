package dev.edgestill.demo

import android.app.Activity
import android.content.Intent
import android.net.Uri
import android.view.View
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import dev.edgestill.core.FolderStore
import dev.edgestill.core.ImageProcessor
import dev.edgestill.core.InputError
import dev.edgestill.core.JsonNumber
import dev.edgestill.core.Store
import dev.edgestill.core.readJson
import dev.edgestill.core.readProcessor
import java.io.File
import java.nio.ByteBuffer
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

/** Formats that Android does not decode. */
private val FOREIGN = listOf(".tif", ".ppm")
private val VECTORS = File(System.getProperty("edgestill.vectors")!!)

/** The app with a bundle that takes recordings. */
class HearingActivity : MainActivity() {
    override fun store(): Store = FolderStore(File(VECTORS, "audio.edge"))
}

/** Files as other apps hand them over, decoded by Android's own code. */
@RunWith(Runner::class)
@Config(sdk = [35], qualifiers = "w411dp-h914dp-xhdpi")
class PicturesTest {
    private val resolver = RuntimeEnvironment.getApplication().contentResolver
    private val all = readJson(File(VECTORS, "processing.json").reader()) as Map<*, *>
    private val processors = (all["image"] as List<*>).map { readProcessor(it as Map<*, *>) as ImageProcessor }

    private fun pixels(file: File, processor: ImageProcessor) = pixelsOf(resolver, Uri.fromFile(file), processor)

    /** The largest difference of any processor's pixels from Python's. */
    private fun difference(number: Int, photo: Map<*, *>): Int {
        val expected = ByteBuffer.wrap(File(VECTORS, "photos/$number.pixels").readBytes())
        val file = File(VECTORS, photo["file"] as String)
        return (photo["processors"] as List<*>).maxOf { at ->
            val found = pixels(file, processors[(at as JsonNumber).toLong()!!.toInt()])
            found.maxOf { Math.abs((it.toInt() and 0xff) - (expected.get().toInt() and 0xff)) }
        }
    }

    @Test
    fun `what Android decodes becomes the same pixels`() {
        val photos = (all["photos"] as List<*>).map { it as Map<*, *> }.withIndex().filter { (_, photo) -> photo["file"] != null }
        val decoded = photos.filter { (_, photo) -> FOREIGN.none { (photo["file"] as String).endsWith(it) } }
        val differences = decoded.associate { (number, photo) -> photo["name"] to runCatching { difference(number, photo) } }
        assertTrue("${decoded.size} files", decoded.size > 20)
        assertEquals(mapOf<Any?, Any?>(), differences.filterValues { it.getOrNull() != 0 })
    }

    @Test
    fun `what is no picture, or not there, is said`() {
        val file = File(VECTORS, "no-picture.jpg").apply { writeText("<html>") }
        for (wrong in listOf(file, File(VECTORS, "nothing.jpg"), VECTORS)) {
            assertThrows("$wrong", InputError::class.java) { pixels(wrong, processors.first()) }
        }
    }

    @Test
    fun `a bundle that takes recordings takes WAV files, and says so where it gets another`() {
        Engines.load()
        val app = Robolectric.buildActivity(HearingActivity::class.java).setup()
        val shown = { id: Int -> app.get().findViewById<TextView>(id) }
        ScreensTest.waitFor("an opened bundle") { shown(R.id.gallery).text.toString() == "Recording (WAV)" }
        assertEquals(listOf(View.GONE, View.GONE), listOf(R.id.camera, R.id.invert).map { app.get().findViewById<View>(it).visibility })
        val words = readJson(File(VECTORS, "words.json").reader()) as Map<*, *>
        for ((name, word) in words.entries.take(4)) {
            receive(app.get(), File(VECTORS, "recordings/$name"))
            ScreensTest.waitFor("$name is $word") { shown(R.id.error).text.isEmpty() && best(app.get()) == word }
        }
        receive(app.get(), File(VECTORS, "audio.edge/manifest.json"))
        ScreensTest.waitFor("the message") { "is no WAV file" in shown(R.id.error).text }
    }

    /** The first label of the answer; null while there is none. */
    private fun best(activity: Activity): String? {
        val row: View? = activity.findViewById<LinearLayout>(R.id.answer).getChildAt(0)
        return row?.findViewById<TextView>(R.id.label)?.text?.toString()
    }

    /** As when a file was chosen in another app. */
    private fun receive(activity: Activity, file: File) {
        activity.findViewById<Button>(R.id.gallery).performClick()
        val asked = shadowOf(activity).nextStartedActivityForResult
        assertTrue("${asked.intent}", "audio/*" == asked.intent.type)
        shadowOf(activity).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(Uri.fromFile(file)))
    }
}
