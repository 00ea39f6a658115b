/* What a node's Stat is made of, inside the daemon; field by field as ZooKeeper defines it. */
#ifndef PANDO_BASE_STAT_H
#define PANDO_BASE_STAT_H

#include <stdint.h>

struct base_stat {
	int64_t czxid;
	int64_t mzxid;
	int64_t pzxid;
	int64_t ctime_ms;
	int64_t mtime_ms;
	int64_t owner; /* session of an ephemeral node, or 0 */
	int32_t version;
	int32_t cversion;
	int32_t aversion;
	uint32_t data_bytes;
	uint32_t children;
};

#endif
