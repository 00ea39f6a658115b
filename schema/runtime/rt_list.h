/* Intrusive doubly linked list. A link that is in no list points at itself. */
#ifndef PANDO_RT_LIST_H
#define PANDO_RT_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct rt_list {
	struct rt_list *next;
	struct rt_list *prev;
};

#define rt_list_entry(link, type, field) ((type *)(void *)((char *)(link)-offsetof(type, field)))
/* Safe against removal of `it`; `next_` is scratch. */
#define rt_list_each(head, it, next_)                                                              \
	for (struct rt_list *it = (head)->next, *next_ = it->next; it != (head);                   \
		it = next_, next_ = it->next)

static inline void rt_list_init(struct rt_list *l) { l->next = l->prev = l; }
static inline bool rt_list_empty(const struct rt_list *l) { return l->next == l; }

static inline void rt_list_append(struct rt_list *head, struct rt_list *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

/* Removing what is in no list does nothing. */
static inline void rt_list_remove(struct rt_list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	rt_list_init(l);
}

#endif
