/* Every generated decoder: the first byte picks the module, the second the record. What decodes is dumped,
 * encoded and decoded again, and must be the same. */
#include "tests/fuzz/fuzz.h"

#include "schema/disk_gen_random.h"
#include "schema/sample_gen_random.h"
#include "schema/wire_gen_random.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	switch (data[0] % 3) {
	case 0:
		return wire_fuzz_one(data + 1, len - 1);
	case 1:
		return disk_fuzz_one(data + 1, len - 1);
	default:
		return sample_fuzz_one(data + 1, len - 1);
	}
}
