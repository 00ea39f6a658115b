/* What a fuzz target defines; libFuzzer and replay.c call it. It returns 0, or does not return. */
#ifndef PANDO_TESTS_FUZZ_H
#define PANDO_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
