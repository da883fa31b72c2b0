package dev.edgestill.demo

import android.app.Activity
import android.os.Bundle as State
import android.os.Handler
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.LinearLayout
import android.widget.TextView
import dev.edgestill.core.Bundle
import dev.edgestill.core.EdgestillError
import dev.edgestill.core.Manifest
import java.util.Locale
import kotlin.concurrent.thread

/** What the bundle says of itself, after every file was compared with its hash. */
class FactsActivity : Activity() {
    override fun onCreate(state: State?) {
        super.onCreate(state)
        setContentView(R.layout.facts)
        val store = AssetStore(assets, BUNDLE)
        val main = Handler(Looper.getMainLooper())
        thread(name = "facts") {
            try {
                val bundle = Bundle.open(store)
                bundle.verify()
                main.post { fill(bundle) }
            } catch (error: EdgestillError) {
                main.post { findViewById<TextView>(R.id.title).text = error.message }
            }
        }
    }

    private fun fill(bundle: Bundle) {
        val manifest = bundle.manifest
        findViewById<TextView>(R.id.title).text = manifest.name
        accuracy(manifest)
        val files = section(R.string.facts_files)
        for ((name, model) in manifest.models) {
            val entry = bundle.files.getValue(name)
            val size = getString(R.string.facts_size, kilobytes(entry.bytes))
            val share = model.accuracy?.let { "$size · ${percent(it)}" } ?: size
            fact(files, name, share, "sha256 ${entry.sha256}")
        }
        val training = section(R.string.facts_training)
        fact(training, getString(R.string.facts_parameters), String.format(locale(), "%,d", manifest.parameters))
        fact(training, getString(R.string.facts_macs), String.format(locale(), "%,d", manifest.macs))
        for ((key, value) in manifest.training) if (value is String) fact(training, key.replace('_', ' '), value)
        val made = section(R.string.facts_made_by)
        for ((name, version) in manifest.versions) fact(made, name, version)
        fact(made, getString(R.string.facts_bundle), bundle.digest.take(23) + "…")
    }

    private fun accuracy(manifest: Manifest) {
        val section = section(R.string.facts_accuracy)
        val teacher = manifest.accuracy["teacher"]
        val names = mapOf("teacher" to R.string.facts_teacher, "student_alone" to R.string.facts_alone, "student_distilled" to R.string.facts_distilled)
        for ((who, label) in names) {
            val share = manifest.accuracy[who] ?: continue
            val kept = if (teacher == null || who == "teacher") percent(share) else getString(R.string.facts_retained, percent(share), percent(share / teacher))
            fact(section, getString(label), kept)
        }
        for ((name, model) in manifest.models) {
            val share = model.accuracy ?: continue
            val retained = manifest.retained(name)
            fact(section, name, if (retained == null) percent(share) else getString(R.string.facts_retained, percent(share), percent(retained)))
        }
        manifest.agreement?.let { fact(section, getString(R.string.facts_agreement), percent(it)) }
    }

    private fun section(heading: Int): ViewGroup {
        val all = findViewById<LinearLayout>(R.id.sections)
        val made = layoutInflater.inflate(R.layout.section, all, false) as ViewGroup
        made.findViewById<TextView>(R.id.heading).setText(heading)
        all.addView(made)
        return made
    }

    private fun fact(section: ViewGroup, key: String, value: String, more: String? = null) {
        val row = layoutInflater.inflate(R.layout.fact, section, false)
        row.findViewById<TextView>(R.id.key).text = key
        row.findViewById<TextView>(R.id.value).text = value
        row.findViewById<TextView>(R.id.more).let {
            it.text = more
            it.visibility = if (more == null) View.GONE else View.VISIBLE
        }
        section.addView(row)
    }

    private fun percent(share: Double) = String.format(locale(), "%.2f %%", 100 * share)

    private fun kilobytes(bytes: Long) = String.format(locale(), "%.1f kB", bytes / 1000.0)

    private fun locale(): Locale = resources.configuration.locales[0]
}
