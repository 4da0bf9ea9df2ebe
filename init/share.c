/*
 * A job's share of the log: so much in every period that it runs. What is beyond is read all the same, so that the job
 * does not wait, and counted; records tell how much it was: the first at once, then ever more seldom, the last before
 * what comes behind it, be that output of the next period or the exit record.
 */
#include "init.h"

#include <stdio.h>
#include <string.h>

#define ENTRY_COST 500 /* bytes on disk, beside MESSAGE: its objects and their places in journald's indexes */
#define FIRST_PAUSE (10 * SEC)
#define LONGEST_PAUSE (600 * SEC)

static const char *fields;
static uint64_t used;       /* of the share of the period since `began` */
static uint64_t began;
static bool dropping;       /* for the rest of the period: no gaps within gaps */
static uint64_t bytes;      /* dropped and not told of yet */
static uint64_t lines;
static uint64_t next_report;
static uint64_t pause = FIRST_PAUSE;

void share_start(const char *fields_of_records)
{
    fields = fields_of_records;
    used = option.share_used;
    began = now_ns();
}

/* Whether an entry of that size is to be dropped. */
bool share_exceeded(size_t message_len)
{
    if (!dropping && option.share > 0 && used + message_len + ENTRY_COST > option.share)
        dropping = true;
    return dropping;
}

void share_take(size_t message_len)
{
    used += message_len + ENTRY_COST;
}

uint64_t share_used(void)
{
    return used;
}

void share_drop(const char *data, size_t n)
{
    const char *end = data + n;

    bytes += n;
    while (data < end && (data = memchr(data, '\n', (size_t)(end - data))) != NULL) {
        lines++;
        data++;
    }
}

/* When to come back to tell of what was dropped. */
uint64_t share_wake(void)
{
    return bytes > 0 ? next_report : NEVER;
}

static int compose(char *record, size_t size, char *text, size_t text_size, int *text_len)
{
    *text_len = snprintf(text, text_size, "Dropped %llu bytes (%llu lines): the job has used up its share of the log",
                         (unsigned long long)bytes, (unsigned long long)lines);
    return snprintf(record, size,
                    "%sPRIORITY=4\nJOBLET_RECORD=dropped\nJOBLET_DROPPED_BYTES=%llu\nJOBLET_DROPPED_LINES=%llu\n",
                    fields, (unsigned long long)bytes, (unsigned long long)lines); /* syslog(3): LOG_WARNING */
}

/* Between two rounds of reading. A journald that takes nothing keeps the record waiting, and not the job. */
void share_review(uint64_t now)
{
    bool renewed = option.share_period > 0 && now - began >= option.share_period;
    char record[512], text[128];
    int len, text_len;

    if (bytes > 0 && (renewed || now >= next_report)) {
        len = compose(record, sizeof record, text, sizeof text, &text_len);
        if (!journal_send(record, (size_t)len, text, (size_t)text_len)) {
            next_report = now + SEC;
            return;
        }
        bytes = lines = 0;
        next_report = now + pause;
        pause = pause * 2 < LONGEST_PAUSE ? pause * 2 : LONGEST_PAUSE;
    }
    if (renewed) {
        began = now;
        used = 0;
        dropping = false;
    }
}

/* Before the exit record. */
void share_finish(void)
{
    char record[512], text[128];
    int len, text_len;

    if (bytes == 0)
        return;
    len = compose(record, sizeof record, text, sizeof text, &text_len);
    journal_record(record, (size_t)len, text, (size_t)text_len);
}
