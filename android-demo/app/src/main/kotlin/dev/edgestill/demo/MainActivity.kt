package dev.edgestill.demo

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Typeface
import android.graphics.drawable.BitmapDrawable
import android.os.Bundle
import android.provider.MediaStore
import android.view.View
import android.widget.Button
import android.widget.CheckBox
import android.widget.ImageButton
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.RadioButton
import android.widget.RadioGroup
import android.widget.TextView
import android.widget.Toast
import dev.edgestill.core.AudioProcessor
import dev.edgestill.core.Store
import dev.edgestill.core.tasks.Answer
import dev.edgestill.core.tasks.Row
import java.util.Locale

/** Folders of the app's assets, as `edgestill export-android` makes them. */
const val BUNDLE = "demo.edge"
const val SAMPLES = "samples"
private const val GALLERY = 1
private const val CAMERA = 2

/** The one screen: a picture, its prediction in both engines, and their latency. It shows the state of a [Session]. */
open class MainActivity : Activity() {
    private lateinit var session: Session
    private val enginesById = mapOf(R.id.litert to "litert", R.id.executorch to "executorch")

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.main)
        @Suppress("DEPRECATION") // What a ViewModel does with AndroidX.
        val kept = lastNonConfigurationInstance as Session?
        session = kept ?: Session(store(), engines(this), application.assets)
        makeThreads()
        label(R.id.p50, R.string.latency_p50)
        label(R.id.p90, R.string.latency_p90)
        label(R.id.fastest, R.string.latency_fastest)
        listen()
        session.onChange = ::render
    }

    /** Where the bundle is. */
    protected open fun store(): Store = AssetStore(application.assets, BUNDLE)

    @Deprecated("What a ViewModel does with AndroidX.")
    override fun onRetainNonConfigurationInstance(): Any = session

    override fun onDestroy() {
        session.onChange = null
        if (!isChangingConfigurations) session.end()
        super.onDestroy()
    }

    @Deprecated("The Activity Result API is AndroidX's.")
    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        if (result != RESULT_OK || data == null) return
        val uri = data.data
        @Suppress("DEPRECATION") // The typed one begins with API 33.
        val small = data.extras?.getParcelable<Bitmap>("data")
        when {
            request == GALLERY && uri != null -> contentResolver.let { resolver -> session.show { pixelsOf(resolver, uri, it) } }
            request == CAMERA && small != null -> session.show { pixelsOf(small, it) }
        }
    }

    private fun listen() {
        findViewById<RadioGroup>(R.id.engines).setOnCheckedChangeListener { _, id -> session.choose(engine = enginesById.getValue(id)) }
        findViewById<RadioGroup>(R.id.threads).setOnCheckedChangeListener { _, id -> session.choose(threads = id) }
        findViewById<CheckBox>(R.id.invert).setOnCheckedChangeListener { _, on -> session.choose(inverted = on) }
        findViewById<Button>(R.id.measure).setOnClickListener { if (session.screen.measuring == null) session.measure() else session.stop() }
        findViewById<Button>(R.id.gallery).setOnClickListener { ask(GALLERY, Intent(Intent.ACTION_GET_CONTENT).setType(if (hears(session.screen)) "audio/*" else "image/*").addCategory(Intent.CATEGORY_OPENABLE)) }
        findViewById<Button>(R.id.camera).setOnClickListener { ask(CAMERA, Intent(MediaStore.ACTION_IMAGE_CAPTURE)) }
        findViewById<Button>(R.id.facts).setOnClickListener { startActivity(Intent(this, FactsActivity::class.java)) }
    }

    private fun ask(request: Int, intent: Intent) =
        try {
            startActivityForResult(intent, request)
        } catch (error: ActivityNotFoundException) {
            Toast.makeText(this, R.string.no_app, Toast.LENGTH_LONG).show()
        }

    /** Whether the model takes recordings, not pictures. */
    private fun hears(screen: Screen) = screen.manifest?.processor is AudioProcessor

    private fun render(screen: Screen) {
        text(R.id.subtitle, screen.manifest?.name ?: getString(if (screen.error == null) R.string.loading else R.string.app_name))
        show(R.id.error, screen.error != null)
        text(R.id.error, screen.error ?: "")
        samples(screen)
        findViewById<ImageView>(R.id.picture).let { view ->
            view.setImageDrawable(screen.seen?.let { BitmapDrawable(resources, it).apply { isFilterBitmap = false } })
            view.contentDescription = getString(if (screen.seen == null) R.string.picture_none else R.string.picture_hint)
        }
        answer(screen.answer)
        text(R.id.agreement, agreement(screen.agreement))
        findViewById<RadioGroup>(R.id.engines).check(enginesById.entries.first { it.value == screen.engine }.key)
        findViewById<RadioGroup>(R.id.threads).check(screen.threads)
        findViewById<CheckBox>(R.id.invert).isChecked = screen.inverted
        findViewById<Button>(R.id.gallery).setText(if (hears(screen)) R.string.recording else R.string.gallery)
        for (id in listOf(R.id.camera, R.id.invert)) show(id, !hears(screen))
        measured(screen)
    }

    private fun measured(screen: Screen) {
        val latency = screen.latency
        value(R.id.p50, latency?.p50)
        value(R.id.p90, latency?.p90)
        value(R.id.fastest, latency?.min)
        text(R.id.engine_name, if (latency == null) getString(R.string.latency_none) else "${screen.engineName} · ${threads(screen.threads)}")
        findViewById<ProgressBar>(R.id.progress).let { bar ->
            val percent = (100 * (screen.measuring ?: 0.0)).toInt()
            bar.progress = percent
            bar.contentDescription = getString(R.string.progress, percent)
            bar.visibility = if (screen.measuring == null) View.INVISIBLE else View.VISIBLE
        }
        findViewById<Button>(R.id.measure).let { button ->
            button.setText(if (screen.measuring == null) R.string.measure else R.string.stop)
            button.isEnabled = screen.seen != null
            button.alpha = if (button.isEnabled) 1f else DISABLED
        }
    }

    private fun agreement(found: Agreement?): String {
        if (found == null) return ""
        val difference = String.format(locale(), "%.3f", found.difference)
        return when {
            !found.same -> getString(R.string.disagree, difference)
            found.difference == 0f -> getString(R.string.agree)
            else -> getString(R.string.agree_nearly, difference)
        }
    }

    /** The rows of the prediction. */
    private fun answer(found: Answer?) {
        val group = findViewById<LinearLayout>(R.id.answer)
        val rows = found?.rows(locale())?.ifEmpty { listOf(Row(getString(R.string.answer_empty), "")) } ?: listOf()
        while (group.childCount < rows.size) layoutInflater.inflate(R.layout.answer_row, group)
        if (group.childCount > rows.size) group.removeViews(rows.size, group.childCount - rows.size)
        rows.forEachIndexed { place, row -> fill(group.getChildAt(place), row) }
    }

    private fun fill(view: View, row: Row) {
        view.findViewById<TextView>(R.id.label).let {
            it.text = row.name
            it.setTypeface(null, if (row.main) Typeface.BOLD else Typeface.NORMAL)
        }
        view.findViewById<TextView>(R.id.value).text = row.value
        view.findViewById<ProgressBar>(R.id.bar).let { bar ->
            bar.progress = (1000 * (row.share ?: 0f)).toInt()
            bar.visibility = if (row.share == null) View.GONE else View.VISIBLE
        }
        view.contentDescription = if (row.value.isEmpty()) row.name else getString(R.string.answer_row, row.name, row.value)
    }

    private fun samples(screen: Screen) {
        val row = findViewById<LinearLayout>(R.id.samples)
        if (row.childCount == 0) screen.samples.forEachIndexed { number, sample -> row.addView(thumb(number, sample)) }
        for (number in 0 until row.childCount) row.getChildAt(number).isSelected = number == screen.chosen
    }

    private fun thumb(number: Int, sample: Bitmap) =
        ImageButton(this).apply {
            setImageDrawable(BitmapDrawable(resources, sample).apply { isFilterBitmap = false })
            setBackgroundResource(R.drawable.thumb)
            scaleType = ImageView.ScaleType.FIT_CENTER
            contentDescription = getString(R.string.sample, number + 1)
            val (edge, side, gap) = listOf(5, 56, 8).map { (it * resources.displayMetrics.density).toInt() }
            setPadding(edge, edge, edge, edge)
            layoutParams = LinearLayout.LayoutParams(side, side).apply { marginEnd = gap }
            setOnClickListener { session.show(number) }
        }

    private fun makeThreads() {
        val group = findViewById<RadioGroup>(R.id.threads)
        for (count in THREADS) {
            val button = layoutInflater.inflate(R.layout.segment, group, false) as RadioButton
            button.id = count
            button.text = count.toString()
            button.contentDescription = threads(count)
            group.addView(button)
        }
    }

    private fun threads(count: Int) = if (count == 1) getString(R.string.one_thread) else getString(R.string.several_threads, count)

    private fun label(id: Int, text: Int) = findViewById<View>(id).findViewById<TextView>(R.id.number_label).setText(text)

    private fun value(id: Int, milliseconds: Double?) {
        val text = milliseconds?.let { getString(R.string.milliseconds, String.format(locale(), if (it < 1) "%.3f" else "%.2f", it)) } ?: "–"
        findViewById<View>(id).findViewById<TextView>(R.id.number_value).text = text
    }

    private fun text(id: Int, text: String) = findViewById<TextView>(id).let { if (it.text.toString() != text) it.text = text }

    private fun show(id: Int, shown: Boolean) = findViewById<View>(id).let { it.visibility = if (shown) View.VISIBLE else View.GONE }

    private fun locale(): Locale = resources.configuration.locales[0]

    private companion object {
        val THREADS = listOf(1, 2, 4)
        const val DISABLED = 0.5f
    }
}
