package dev.edgestill.core.tasks

import dev.edgestill.core.fixed
import dev.edgestill.core.localized
import dev.edgestill.core.significant
import java.util.Locale

/**
 * A quality measure.
 *
 * @property name in manifests and reports, such as `accuracy`.
 * @property unit shown behind it; `%` for a share 0–1, which is shown times 100.
 * @property higherIsBetter its direction.
 */
data class Measure(val name: String, val unit: String = "%", val higherIsBetter: Boolean = true) {
    /** For people: `91.30 %`, `0.412 mm`. */
    fun show(value: Double, locale: Locale = Locale.ROOT): String =
        if (unit == "%") "${localized(fixed(100 * value, 2), locale)} %" else "${localized(significant(value, 4), locale)} $unit".trimEnd()
}
