/* Letters between threads: a bounded-by-protocol list under a mutex, and a sleeping reader that is woken only
 * when it sleeps. (What bounds each kind of letter stands where it is sent.) */
#ifndef PANDO_RUN_MAIL_H
#define PANDO_RUN_MAIL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct run_letter {
	struct run_letter *next;
	int kind; /* the reader's enum */
};

/* Reader waits on the condition (core, log), or elsewhere and is woken by `wake` (I/O threads). */
struct run_mail {
	pthread_mutex_t mutex;
	pthread_cond_t arrived;
	struct run_letter *first;
	struct run_letter **last;
	bool poked;
	atomic_bool sleeping;
	void (*wake)(void *arg); /* NULL: use the condition */
	void *wake_arg;
};

void mail_init(struct run_mail *m, void (*wake)(void *arg), void *wake_arg);
void mail_done(struct run_mail *m);

/* From any thread. The letter is the reader's from now on. */
void mail_put(struct run_mail *m, struct run_letter *letter);
/* Wakes the reader without a letter. */
void mail_poke(struct run_mail *m);

/* All letters, oldest first, or NULL. Does not wait. */
struct run_letter *mail_take(struct run_mail *m);
/* Waits for a letter, a poke, or the time (CLOCK_MONOTONIC milliseconds; INT64_MAX for ever); then as mail_take. */
struct run_letter *mail_wait(struct run_mail *m, int64_t until_ms);

/* For readers that wait elsewhere: announce sleep; true when there is nothing to read yet and it is safe to
 * sleep: whoever puts a letter later will call wake. Cancel with mail_awake. */
bool mail_sleep(struct run_mail *m);
void mail_awake(struct run_mail *m);

int64_t run_now_ms(void);
int64_t run_now_us(void);
int64_t run_wall_ms(void);

#endif
