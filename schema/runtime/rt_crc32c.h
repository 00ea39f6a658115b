/* CRC-32C (Castagnoli), as iSCSI and ext4 use it. */
#ifndef PANDO_RT_CRC32C_H
#define PANDO_RT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of bytes, continuing from crc (0 to begin): rt_crc32c(rt_crc32c(0, a), b) is that of a then b. */
uint32_t rt_crc32c(uint32_t crc, const void *bytes, size_t len);

/* The same without the processor's instruction; for machines without one, and to test against. */
uint32_t rt_crc32c_portable(uint32_t crc, const void *bytes, size_t len);

#endif
