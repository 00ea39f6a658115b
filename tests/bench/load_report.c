/* Percentiles, what the kernel says about this process and the servers, and the printed result. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void hist_merge(struct hist *into, const struct hist *from)
{
	into->n += from->n;
	if (from->max > into->max)
		into->max = from->max;
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}

uint64_t hist_at(const struct hist *h, double share)
{
	if (h->n == 0)
		return 0;
	uint64_t want = (uint64_t)(share * (double)h->n);
	if (want >= h->n)
		want = h->n - 1;
	uint64_t seen = 0;
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen <= want)
			continue;
		uint64_t v = i;
		if (i >= HIST_SUB) {
			unsigned shift = i / HIST_SUB - 1;
			v = ((uint64_t)(i % HIST_SUB + HIST_SUB + 1) << shift) - 1;
		}
		return v < h->max ? v : h->max;
	}
	return h->max;
}

double own_cpu_seconds(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* A file of /proc about one process, as a string. */
static void proc_read(int pid, const char *name, char *ret, size_t room)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		die("cannot read %s: is process %d alive?", path, pid);
	size_t n = fread(ret, 1, room - 1, f);
	ret[n] = 0;
	fclose(f);
}

double pids_cpu_seconds(const int *pids, unsigned n)
{
	double sum = 0;
	for (unsigned i = 0; i < n; i++) {
		char text[2048];
		proc_read(pids[i], "stat", text, sizeof text);
		/* The name may hold anything: fields count from its closing bracket. */
		const char *p = strrchr(text, ')');
		unsigned long user = 0, sys = 0;
		if (p == NULL ||
			sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
				&sys) != 2)
			die("/proc/%d/stat has an unknown form", pids[i]);
		sum += (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
	}
	return sum;
}

uint64_t pids_rss(const int *pids, unsigned n)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < n; i++) {
		char text[4096];
		proc_read(pids[i], "status", text, sizeof text);
		const char *p = strstr(text, "VmRSS:");
		if (p != NULL)
			sum += strtoull(p + strlen("VmRSS:"), NULL, 10) * 1024;
	}
	return sum;
}

static const double shares[] = { 0.5, 0.9, 0.99, 0.999 };
static const char *const share_names[] = { "p50", "p90", "p99", "p99.9" };
enum { SHARES = sizeof shares / sizeof shares[0] };

static double per_op_us(double seconds, uint64_t done)
{
	return done == 0 ? 0 : seconds * 1e6 / (double)done;
}

static void print_json(const struct report *r, const struct result *res)
{
	const struct conf *c = r->conf;
	printf("{\"mode\": \"%s\", \"connections\": %u, \"in_flight\": %u, \"size\": %u, "
	       "\"nodes\": %llu, \"threads\": %u, \"seconds\": %.6f, \"done\": %llu, "
	       "\"errors\": %llu, \"per_second\": %.1f, \"latency_us\": {",
		r->mode, c->connections, c->in_flight, c->size, (unsigned long long)r->nodes,
		c->threads, res->seconds, (unsigned long long)res->done,
		(unsigned long long)res->errors,
		res->seconds > 0 ? (double)res->done / res->seconds : 0.0);
	for (unsigned i = 0; i < SHARES; i++)
		printf("\"%s\": %.1f, ", share_names[i],
			(double)hist_at(&res->hist, shares[i]) / 1e3);
	printf("\"max\": %.1f}, \"load_cpu_seconds\": %.3f, \"load_cpu_us_per_op\": %.3f",
		(double)res->hist.max / 1e3, res->own_cpu, per_op_us(res->own_cpu, res->done));
	if (r->pids_n != 0)
		printf(", \"server_cpu_seconds\": %.3f, \"server_cpu_us_per_op\": %.3f, "
		       "\"server_rss_before\": %llu, \"server_rss\": %llu",
			res->server_cpu, per_op_us(res->server_cpu, res->done),
			(unsigned long long)r->rss_before, (unsigned long long)r->rss_after);
	printf("}\n");
}

static void print_text(const struct report *r, const struct result *res)
{
	const struct conf *c = r->conf;
	printf("%s: %u connections, %u in flight, %u bytes", r->mode, c->connections, c->in_flight,
		c->size);
	if (r->nodes != 0)
		printf(", %llu nodes", (unsigned long long)r->nodes);
	printf(", %.3f s\n", res->seconds);
	printf("  rate        %.0f %s/s (%llu, %llu errors)\n",
		res->seconds > 0 ? (double)res->done / res->seconds : 0.0, r->unit,
		(unsigned long long)res->done, (unsigned long long)res->errors);
	printf("  latency µs ");
	for (unsigned i = 0; i < SHARES; i++)
		printf(" %s %.1f ", share_names[i], (double)hist_at(&res->hist, shares[i]) / 1e3);
	printf(" max %.1f\n", (double)res->hist.max / 1e3);
	printf("  CPU         load %.3f µs each (%.2f s)", per_op_us(res->own_cpu, res->done),
		res->own_cpu);
	if (r->pids_n != 0) {
		printf(", server %.3f µs each (%.2f s)\n", per_op_us(res->server_cpu, res->done),
			res->server_cpu);
		printf("  memory      server %.1f MB resident, %.1f MB before",
			(double)r->rss_after / 1e6, (double)r->rss_before / 1e6);
	}
	printf("\n");
}

void report_print(const struct report *r, const struct result *res)
{
	if (r->json)
		print_json(r, res);
	else
		print_text(r, res);
	fflush(stdout);
}
