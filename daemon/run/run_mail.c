#include "daemon/run/run_mail.h"

#include <stddef.h>
#include <time.h>

static int64_t clock_us(clockid_t which)
{
	struct timespec ts;
	clock_gettime(which, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t run_now_us(void) { return clock_us(CLOCK_MONOTONIC); }
int64_t run_now_ms(void) { return clock_us(CLOCK_MONOTONIC) / 1000; }
int64_t run_wall_ms(void) { return clock_us(CLOCK_REALTIME) / 1000; }

void mail_init(struct run_mail *m, void (*wake)(void *arg), void *wake_arg)
{
	*m = (struct run_mail){ .last = &m->first, .wake = wake, .wake_arg = wake_arg };
	pthread_mutex_init(&m->mutex, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->arrived, &attr);
	pthread_condattr_destroy(&attr);
	atomic_init(&m->sleeping, false);
}

void mail_done(struct run_mail *m)
{
	pthread_cond_destroy(&m->arrived);
	pthread_mutex_destroy(&m->mutex);
}

static void rouse(struct run_mail *m)
{
	/* exchange: of several senders only one pays for the system call */
	if (!atomic_exchange(&m->sleeping, false))
		return;
	if (m->wake != NULL)
		m->wake(m->wake_arg);
	else
		pthread_cond_signal(&m->arrived);
}

void mail_put(struct run_mail *m, struct run_letter *letter)
{
	letter->next = NULL;
	pthread_mutex_lock(&m->mutex);
	*m->last = letter;
	m->last = &letter->next;
	pthread_mutex_unlock(&m->mutex);
	rouse(m);
}

void mail_poke(struct run_mail *m)
{
	if (m->wake == NULL) {
		pthread_mutex_lock(&m->mutex);
		m->poked = true;
		pthread_mutex_unlock(&m->mutex);
	}
	rouse(m);
}

static struct run_letter *take_locked(struct run_mail *m)
{
	struct run_letter *first = m->first;
	m->first = NULL;
	m->last = &m->first;
	m->poked = false;
	return first;
}

struct run_letter *mail_take(struct run_mail *m)
{
	pthread_mutex_lock(&m->mutex);
	struct run_letter *first = take_locked(m);
	pthread_mutex_unlock(&m->mutex);
	return first;
}

struct run_letter *mail_wait(struct run_mail *m, int64_t until_ms)
{
	pthread_mutex_lock(&m->mutex);
	while (m->first == NULL && !m->poked) {
		atomic_store(&m->sleeping, true);
		if (until_ms == INT64_MAX) {
			pthread_cond_wait(&m->arrived, &m->mutex);
		} else {
			struct timespec ts = { until_ms / 1000, until_ms % 1000 * 1000000 };
			if (pthread_cond_timedwait(&m->arrived, &m->mutex, &ts) != 0)
				break;
		}
	}
	atomic_store(&m->sleeping, false);
	struct run_letter *first = take_locked(m);
	pthread_mutex_unlock(&m->mutex);
	return first;
}

bool mail_sleep(struct run_mail *m)
{
	atomic_store(&m->sleeping, true);
	pthread_mutex_lock(&m->mutex);
	bool empty = m->first == NULL;
	pthread_mutex_unlock(&m->mutex);
	return empty;
}

void mail_awake(struct run_mail *m) { atomic_store(&m->sleeping, false); }
