// The SDK's log lines, kept until they are fetched.

#pragma once

#include <cstddef>
#include <cstdint>

namespace edgestill {

// From now on lines are kept here; the last 256 of them.
void take_over_log();
bool log_waits();
// See es_take_log.
int32_t take_line(char *text, size_t size);

} // namespace edgestill
