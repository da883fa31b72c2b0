package androidx.test.internal.runner.lifecycle

import android.app.Application
import androidx.test.runner.lifecycle.ApplicationLifecycleMonitor
import androidx.test.runner.lifecycle.ApplicationStage
import androidx.test.runner.lifecycle.Stages

// Robolectric names these classes in what it calls, so that each method has to be their own.

class ActivityLifecycleMonitorImpl : Stages()

class ApplicationLifecycleMonitorImpl : ApplicationLifecycleMonitor {
    @Suppress("UNUSED_PARAMETER")
    fun signalLifecycleChange(application: Application, stage: ApplicationStage) = Unit
}
