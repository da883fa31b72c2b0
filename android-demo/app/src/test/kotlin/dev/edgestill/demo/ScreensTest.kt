package dev.edgestill.demo

import android.content.res.Configuration
import android.graphics.Bitmap
import android.graphics.Canvas
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.LinearLayout
import android.widget.RadioButton
import android.widget.TextView
import dev.edgestill.core.FolderStore
import dev.edgestill.core.Store
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config

private const val PHONE = "w411dp-h914dp-xhdpi"
private const val TABLET = "w1280dp-h800dp-land-mdpi"

/** The app, which notes on which threads its bundle is read. */
class WatchfulActivity : MainActivity() {
    override fun store(): Store =
        object : Store {
            private val own = super@WatchfulActivity.store()
            override val place get() = own.place

            override fun names() = own.names().also { readers.add(Thread.currentThread().name) }

            override fun read(name: String, most: Long) = own.read(name, most).also { readers.add(Thread.currentThread().name) }
        }

    companion object {
        val readers: MutableSet<String> = java.util.concurrent.ConcurrentHashMap.newKeySet()
    }
}

/** The app with one byte of a model changed. */
class DamagedActivity : MainActivity() {
    override fun store(): Store {
        val vectors = File(System.getProperty("edgestill.vectors")!!)
        val damaged = File(vectors, "damaged.edge")
        File(vectors, "bundle.edge").copyRecursively(damaged, overwrite = true)
        File(damaged, "model.pte").let { file -> file.writeBytes(file.readBytes().also { it[it.size / 2] = (it[it.size / 2] + 1).toByte() }) }
        return FolderStore(damaged)
    }
}

/** A bundle of another task; see `proof/manifests.py`. */
private fun bundleOf(name: String) = FolderStore(File(System.getProperty("edgestill.vectors")!!, "manifests/$name.edge"))

/** The app with the demo's net as one that gives ten values, or any number of labels, or what nobody said the meaning of. */
class RegressionActivity : MainActivity() {
    override fun store(): Store = bundleOf("regression")
}

class RegressionFactsActivity : FactsActivity() {
    override fun store(): Store = bundleOf("regression")
}

class MultiLabelActivity : MainActivity() {
    override fun store(): Store = bundleOf("multi-label")
}

class UnknownTaskActivity : MainActivity() {
    override fun store(): Store = bundleOf("own")
}

/** The real activities with the real engines, drawn by Android's own graphics. */
@RunWith(Runner::class)
@Config(sdk = [35], qualifiers = PHONE)
class ScreensTest {
    @Before
    fun engines() = Engines.load()

    private fun start(): ActivityController<MainActivity> = Robolectric.buildActivity(MainActivity::class.java).setup()

    /** What the rows of the answer say, and whether they have a bar. */
    private fun ActivityController<out MainActivity>.rows(): List<Triple<String, String, Boolean>> {
        val group = get().findViewById<LinearLayout>(R.id.answer)
        return (0 until group.childCount).map { group.getChildAt(it) }.map { row ->
            val (label, value) = listOf(R.id.label, R.id.value).map { row.findViewById<TextView>(it).text.toString() }
            Triple(label, value, row.findViewById<View>(R.id.bar).visibility == View.VISIBLE)
        }
    }

    private fun <A : MainActivity> startOther(kind: Class<A>): ActivityController<A> =
        Robolectric.buildActivity(kind).setup().also { app -> waitFor("an answer") { app.get().findViewById<TextView>(R.id.agreement).text.isNotEmpty() } }

    private fun ActivityController<MainActivity>.text(id: Int) = get().findViewById<TextView>(id).text.toString()

    private fun ActivityController<MainActivity>.best() =
        get().findViewById<LinearLayout>(R.id.answer).getChildAt(0).findViewById<TextView>(R.id.label).text.toString()

    private fun ActivityController<MainActivity>.answered() = also { waitFor("an answer") { text(R.id.agreement).isNotEmpty() } }

    @Test
    fun `the first sample is answered, and both engines agree`() {
        val app = start().answered()
        assertEquals("demo", app.text(R.id.subtitle))
        assertTrue(app.best().isNotEmpty())
        assertEquals("Both engines: same answer, outputs equal", app.text(R.id.agreement))
        assertEquals(View.GONE, app.get().findViewById<View>(R.id.error).visibility)
    }

    @Test
    fun `samples, engines and threads can be changed, and 100 runs measured`() {
        val app = start().answered()
        val samples = app.get().findViewById<LinearLayout>(R.id.samples)
        assertEquals(12, samples.childCount)
        val seen = (0 until samples.childCount).map { number ->
            samples.getChildAt(number).performClick()
            val before = app.get().findViewById<android.widget.ImageView>(R.id.picture).drawable
            waitFor("sample $number") { app.get().findViewById<android.widget.ImageView>(R.id.picture).drawable !== before || number == 0 }
            app.best()
        }
        assertTrue("12 samples of only ${seen.distinct()}", seen.distinct().size >= 4)
        for (id in listOf(R.id.executorch, 2, 4, R.id.litert)) {
            app.get().findViewById<RadioButton>(id).performClick()
            app.answered()
            app.get().findViewById<Button>(R.id.measure).performClick()
            assertEquals("Stop", app.text(R.id.measure))
            waitFor("100 runs") { app.text(R.id.measure) == "Measure 100 runs" }
            assertTrue("${app.text(R.id.engine_name)} ${app.text(R.id.error)}", if (id == R.id.litert) "LiteRT 2." in app.text(R.id.engine_name) else "ExecuTorch" in app.text(R.id.engine_name))
            val p50 = app.get().findViewById<View>(R.id.p50).findViewById<TextView>(R.id.number_value).text
            assertTrue("$p50", Regex("""\d+\.\d+ ms""").matches(p50))
        }
        assertEquals("LiteRT 2.21.0 · 4 threads", app.text(R.id.engine_name))
    }

    @Test
    fun `a rotation keeps what was measured`() {
        val app = start().answered()
        app.get().findViewById<RadioButton>(R.id.executorch).performClick()
        app.answered()
        app.get().findViewById<Button>(R.id.measure).performClick()
        waitFor("100 runs") { app.text(R.id.measure) == "Measure 100 runs" }
        val (best, name) = app.best() to app.text(R.id.engine_name)
        val before = app.get()
        app.configurationChange(Configuration(app.get().resources.configuration).apply { orientation = Configuration.ORIENTATION_LANDSCAPE })
        assertTrue("the activity was not made anew", app.get() !== before)
        assertEquals(best, app.best())
        assertEquals(name, app.text(R.id.engine_name))
        assertTrue(app.get().findViewById<RadioButton>(R.id.executorch).isChecked)
    }

    @Test
    fun `a damaged bundle is a message, and no crash`() {
        val app = Robolectric.buildActivity(DamagedActivity::class.java).setup()
        val error = app.get().findViewById<TextView>(R.id.error)
        waitFor("the message") { error.isShown }
        assertTrue("${error.text}", "does not match its manifest (changed: model.pte)" in error.text)
        assertFalse(app.get().findViewById<Button>(R.id.measure).isEnabled)
        app.get().findViewById<LinearLayout>(R.id.samples).getChildAt(1).performClick()
        app.get().findViewById<RadioButton>(R.id.executorch).performClick()
        shadowOf(Looper.getMainLooper()).idle()
        assertTrue(error.isShown)
        app.recreate()
        waitFor("the message after a rotation") { app.get().findViewById<TextView>(R.id.error).isShown }
    }

    @Test
    fun `five classes are shown, each with a bar`() {
        val rows = start().answered().rows()
        assertEquals(5, rows.size)
        assertTrue(rows.all { (_, value, bar) -> bar && Regex("""\d+\.\d %""").matches(value) })
    }

    @Test
    fun `values are shown with their units, and without bars`() {
        val app = startOther(RegressionActivity::class.java)
        val rows = app.rows()
        assertEquals(10, rows.size)
        assertEquals("width", rows.first().first)
        assertTrue("$rows", rows.all { (_, value, bar) -> !bar && Regex("""\d+(\.\d+)? cm""").matches(value) })
        app.get().findViewById<LinearLayout>(R.id.samples).getChildAt(3).performClick()
        waitFor("another answer") { app.rows() != rows }
        draw(app.get().window.decorView, "phone-light-regression")
    }

    @Test
    fun `of many labels those above their threshold are shown, and none where there is none`() {
        val app = startOther(MultiLabelActivity::class.java)
        val samples = app.get().findViewById<LinearLayout>(R.id.samples)
        val seen = (0 until samples.childCount).map { number ->
            val before = app.get().findViewById<android.widget.ImageView>(R.id.picture).drawable
            samples.getChildAt(number).performClick()
            waitFor("sample $number") { app.get().findViewById<android.widget.ImageView>(R.id.picture).drawable !== before }
            app.rows()
        }
        assertTrue("$seen", seen.map { it.size }.distinct().size > 1)
        for (rows in seen) assertTrue("$rows", rows.all { (_, _, bar) -> bar } || rows == listOf(Triple("None", "", false)))
        assertTrue("$seen", seen.any { it == listOf(Triple("None", "", false)) })
        samples.getChildAt(3).performClick()
        waitFor("sample 3") { app.rows() == seen[3] }
        draw(app.get().window.decorView, "phone-light-multi-label")
    }

    @Test
    fun `a task that the app has not is a message`() {
        val app = Robolectric.buildActivity(UnknownTaskActivity::class.java).setup()
        val error = app.get().findViewById<TextView>(R.id.error)
        waitFor("the message") { error.isShown }
        assertTrue("${error.text}", "its task is mine:Ordinal, which is none of edgestill's" in error.text)
        assertTrue(app.rows().isEmpty())
    }

    @Test
    fun `facts name every measure, and what is kept of the teacher's`() {
        val facts = Robolectric.buildActivity(RegressionFactsActivity::class.java).setup()
        val sections = facts.get().findViewById<LinearLayout>(R.id.sections)
        waitFor("the facts") { sections.childCount > 0 }
        val texts = everything(sections).filterIsInstance<TextView>().map { it.text.toString() }
        assertTrue("$texts", "R² 0.95 · MAE 0.8" in texts)
        assertTrue("$texts", "R² 0.9125 · MAE 1.235 · keeps 96.05 % of the teacher" in texts)
    }

    @Test
    fun `the bundle is read, and inference done, beside the main thread`() {
        val app = Robolectric.buildActivity(WatchfulActivity::class.java).setup()
        waitFor("an answer") { app.get().findViewById<TextView>(R.id.agreement).text.isNotEmpty() }
        assertEquals(setOf("inference"), WatchfulActivity.readers)
    }

    @Test
    fun `every control has a name for TalkBack, and is large enough for a finger`() {
        val app = start().answered()
        val least = (48 * app.get().resources.displayMetrics.density).toInt()
        val controls = everything(app.get().window.decorView).filter { it.isClickable && it.visibility == View.VISIBLE && it.isShown }
        assertTrue(controls.size >= 18)
        for (control in controls) {
            val name = control.contentDescription ?: (control as? TextView)?.text
            assertTrue("$control has no name", !name.isNullOrBlank())
            assertTrue("$control is ${control.width} × ${control.height} pixels", control.height >= least)
        }
    }

    @Test
    @Config(qualifiers = "+de")
    fun `in German`() {
        val app = start().answered()
        assertEquals("Beide Engines: gleiche Antwort, gleiche Ausgaben", app.text(R.id.agreement))
        assertEquals("100 Läufe messen", app.text(R.id.measure))
    }

    @Test
    fun `on a phone, light`() = picture("phone-light")

    @Test
    @Config(qualifiers = "+night")
    fun `on a phone, dark`() = picture("phone-dark")

    @Test
    @Config(qualifiers = TABLET)
    fun `on a tablet, light`() = picture("tablet-light")

    @Test
    @Config(qualifiers = "w1280dp-h800dp-land-night-mdpi")
    fun `on a tablet, dark`() = picture("tablet-dark")

    @Test
    fun `with the largest letters nothing is cut off`() {
        RuntimeEnvironment.setFontScale(2f)
        val app = start().answered()
        draw(app.get().window.decorView, "phone-large-letters")
        for (view in everything(app.get().window.decorView)) {
            if (view !is TextView || !view.isShown || view.layout == null) continue
            val lines = view.layout.lineCount
            assertTrue("'${view.text}' is cut off", view.layout.getLineBottom(lines - 1) <= view.height - view.compoundPaddingTop - view.compoundPaddingBottom + 1)
        }
    }

    private fun picture(name: String) {
        val app = start().answered()
        app.get().findViewById<LinearLayout>(R.id.samples).getChildAt(3).performClick()
        app.get().findViewById<Button>(R.id.measure).performClick()
        waitFor("100 runs") { app.text(R.id.measure) == "Measure 100 runs" && "–" != app.get().findViewById<View>(R.id.p50).findViewById<TextView>(R.id.number_value).text }
        draw(app.get().window.decorView, name)
        val facts = Robolectric.buildActivity(FactsActivity::class.java).setup()
        val sections = facts.get().findViewById<LinearLayout>(R.id.sections)
        waitFor("the facts") { sections.childCount > 0 }
        assertEquals(4, sections.childCount)
        assertTrue(everything(sections).any { it is TextView && "hash verified" in it.text })
        draw(facts.get().window.decorView, "$name-facts")
    }

    /** Draw a window into a PNG, and see that it is a picture: many colours, and not the same one all over. */
    private fun draw(view: View, name: String) {
        shadowOf(Looper.getMainLooper()).idle()
        assertNotNull(view.parent)
        val bitmap = Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888)
        view.draw(Canvas(bitmap))
        val folder = File(System.getProperty("edgestill.screenshots")!!).apply { mkdirs() }
        File(folder, "$name.png").outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
        val pixels = IntArray(view.width * view.height).also { bitmap.getPixels(it, 0, view.width, 0, 0, view.width, view.height) }
        assertTrue("$name shows ${pixels.distinct().size} colours", pixels.distinct().size > 50)
    }

    private fun everything(view: View): List<View> =
        listOf(view) + if (view is ViewGroup) (0 until view.childCount).flatMap { everything(view.getChildAt(it)) } else listOf()

    companion object {
        fun waitFor(what: String, seen: () -> Boolean) {
            val end = System.nanoTime() + 60_000_000_000
            while (!seen()) {
                check(System.nanoTime() < end) { "a minute went by without: $what" }
                Thread.sleep(5)
                shadowOf(Looper.getMainLooper()).idle()
            }
        }
    }
}
