// SPDX-License-Identifier: Apache-2.0
// Export: what happens to records once workers have let go of them. One tail thread drains the
// workers' rings, keeps ended flows in the recent store and hands every record to the sinks as EVE
// JSON. Nothing here ever holds a worker up, but for lossless captures, which wait for room.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "counters.h"
#include "flow.h"
#include "record.h"

// --- Records that pipeline.c writes from packets ---

// An anomaly, with where it was seen: from the packet's innermost decoded layer, or none.
struct anomaly_record {
	uint64_t ts_ns;
	uint64_t pcap_cnt;       // number of the packet within its capture
	struct flow_tuple tuple; // version 0: no IP layer
	uint64_t flow_id;        // 0: none
	uint16_t capture;
	uint8_t event; // enum event_id
	uint8_t has_tuple;
	uint32_t wirelen;
	uint32_t repeated; // how many of this event were sampled out since the last one written
};

struct arp_record {
	uint64_t ts_ns;
	uint64_t pcap_cnt;
	uint16_t capture;
	uint16_t hw_type, proto_type, opcode;
	uint8_t src_mac[6], dest_mac[6];
	uint8_t src_ip[4], dest_ip[4];
	uint8_t vlan_count;
	uint8_t unused[3];
	uint16_t vlan[PACKET_VLANS_MAX];
};

struct capture_done_record {
	uint16_t capture;
	uint16_t worker;
};

// Bytes of one direction of a TCP stream, as the receiver read them, or its end (length 0, is_last).
// What lies between the end of one record and the offset of the next never came (a gap).
struct stream_record {
	struct flow_tuple tuple; // src: the flow's client
	uint64_t flow_id;
	uint64_t offset; // of the first byte in the stream, gaps included
	uint64_t ts_ns;  // when the latest of the bytes came
	uint32_t length;
	uint16_t capture;
	uint8_t direction; // 0: to the server, 1: to the client
	uint8_t is_first;  // nothing of this direction came before
	uint8_t is_last;
	uint8_t unused[3];
	uint8_t bytes[];
};

// What records need to know of captures, by index. Set by control before a capture's first packet,
// valid until the index is used anew.
struct export_capture {
	char name[64];
	char interface[32];  // "" for files
	char time_source[8]; // nic kernel tsc file
};
void export_capture_set(uint16_t capture, const struct export_capture *);
void export_capture_get(uint16_t capture, struct export_capture *ret);

// A capture lost packets at some time from from_ns to to_ns: flows that lived then are marked as
// quality.dropped_nearby. Thread: control.
void export_capture_lost(uint16_t capture, uint64_t from_ns, uint64_t to_ns);
// Whether it lost any from first_ns to last_ns. Only so many times are told apart; of older ones the gaps
// between them count as well. Thread: any.
bool export_capture_lost_during(uint16_t capture, uint64_t first_ns, uint64_t last_ns);

// Names of application protocols, by flow_record.app_proto; an entry may be NULL (app_proto is left
// out then). The names must need no JSON escapes and outlive the use. Set once, before any record.
void export_app_protocols(const char *const *names, unsigned count);

// --- JSON: a small streaming writer into a growing buffer ---

struct json {
	char *text; // not NUL-terminated until json_text()
	size_t size;
	size_t capacity;
	bool failed; // no memory: text is incomplete
	bool comma;  // a comma goes before the next value
};

void json_init(struct json *);
void json_fini(struct json *);
void json_reset(struct json *);       // forgets the text, keeps the memory
const char *json_text(struct json *); // NUL-terminated; NULL when failed

// key NULL inside arrays. Strings are escaped; invalid UTF-8 becomes U+FFFD. Numbers above 2^53 are
// written as 2^53. A double that is not finite is written as 0.
void json_object(struct json *, const char *key);
void json_object_end(struct json *);
void json_array(struct json *, const char *key);
void json_array_end(struct json *);
void json_string(struct json *, const char *key, const char *value);
void json_string_n(struct json *, const char *key, const void *value, size_t size);
void json_uint(struct json *, const char *key, uint64_t value);
void json_int(struct json *, const char *key, int64_t value);
void json_double(struct json *, const char *key, double value); // reads back as the same double
void json_fixed(struct json *, const char *key, double value, unsigned decimals); // at most 3, or 6
void json_bool(struct json *, const char *key, bool value);
void json_null(struct json *, const char *key);
void json_raw(struct json *, const char *key, const char *text, size_t size);

// --- EVE: one line's worth of JSON for a record (no newline) ---

void eve_flow(struct json *, const struct flow_record *);
void eve_anomaly(struct json *, const struct anomaly_record *);
void eve_arp(struct json *, const struct arp_record *);

// Community ID 1.0 (seed 0): "1:" and base64 of a SHA-1. text holds at least 40 bytes.
void community_id(const struct flow_tuple *, char text[40]);

const char *flow_end_name(enum flow_end); // fin rst reuse idle active eof forced evicted
const char *flow_tcp_state_name(enum flow_tcp_state);     // as EVE
const char *ip_proto_name(uint8_t proto, char buffer[4]); // EVE's name, else the number as text
const char *tunnel_type_name(enum tunnel_type);

// --- The tail thread ---

struct export;

struct export_config {
	const char *events_path; // --events: FILE, "-" for stdout, NULL for none
	uint64_t recent_bytes;   // bound of the recent store
	unsigned workers;
	struct ring **records; // one per worker
	uint64_t keep_bytes;   // bound of the bytes of recent streams; 0: none
};

// Opens the events file, allocates the store and starts the thread. Returns 0 or a negative errno
// with a message in error. Thread: control.
int export_start(const struct export_config *, struct export **ret, char *error, size_t size);

// Stops the thread once the rings are empty, flushes and closes the sinks, frees all.
// Returns 0 or the first write error of the events file (-ENOSPC, ...). Accepts NULL.
int export_stop(struct export *, char *error, size_t size);

// Writes one ready line (a stats event, no newline) to the sinks, behind the records handed over
// before. Copies the text; takes at most EXPORT_LINES_BYTES that wait. Thread: control.
enum { EXPORT_LINES_BYTES = 8 << 20 };
void export_line(struct export *, const char *text, size_t size);

// True once each worker's RECORD_CAPTURE_DONE of this capture has been drained and all that came
// before has been handed to the events file. Thread: control.
bool export_capture_is_done(struct export *, uint16_t capture);
// Makes ready for the next capture of this index, before its first packet. Thread: control.
void export_capture_reset(struct export *, uint16_t capture);

// --- Streams saved to files ---

// Opens a folder to save streams in. Returns its descriptor, or a negative errno with a message that
// begins with the path. Thread: control.
int export_follow_open(const char *path, char *error, size_t size);

// From now on streams of a capture are saved in the folder, one file for each direction that carries
// bytes, FLOWID_SRC_SPORT_DST_DPORT, src being who sent the bytes. Takes dirfd. At the first error
// saving ends for the capture, and what comes then is lost, counted and told once in the log.
// Before the capture's first packet. Returns 0 or -ENOMEM. Thread: control.
int export_follow(struct export *, uint16_t capture, int dirfd, const char *path);

struct export_follow_status {
	bool is_on; // export_follow was called for this capture
	uint64_t files, bytes;
	uint64_t bytes_lost; // not written, because of error
	int error;           // the first, a positive errno; 0: none
};
void export_follow_status(struct export *, uint16_t capture, struct export_follow_status *ret);

// --- Bytes of recent streams (stream.keep) ---

enum { EXPORT_STREAM_PIECES = 256, EXPORT_STREAM_PAGE = 256 << 10 };

struct export_stream_piece {
	uint64_t offset; // of its first byte in the stream, gaps included
	uint64_t ts_ns;
	uint32_t length;
	uint32_t at;       // in bytes
	uint8_t direction; // 0: to the server
};

struct export_stream_query {
	// asked
	uint64_t flow_id;
	int direction;  // -1: both, in the order in which they came
	uint32_t limit; // of bytes, at most EXPORT_STREAM_PAGE
	// asked, and answered with where to go on: 0, 0 is the begin of what is kept
	uint64_t position;
	uint32_t skip;
	// answered
	bool is_known; // something of the flow is kept, at whatever position
	bool has_more; // at the moment
	bool is_ended; // the flow is over, and nothing more comes
	unsigned count;
	uint32_t bytes_used;
	struct export_stream_piece piece[EXPORT_STREAM_PIECES];
	uint8_t bytes[EXPORT_STREAM_PAGE];
};
void export_stream_read(struct export *, struct export_stream_query *);
bool export_keeps_streams(const struct export *);

struct export_stats {
	uint64_t records_written[8]; // by enum record_type; [0]: ready lines (export_line)
	uint64_t records_bad; // not of a known type or shorter than their struct: a bug of ours
	uint64_t write_errors;
	uint64_t lines_lost;    // lines that a sink could not write
	uint64_t lines_refused; // ready lines not taken: more than EXPORT_LINES_BYTES waited
	uint64_t recent_flows;
	uint64_t recent_bytes;
	uint64_t stream_files, stream_bytes_saved, stream_bytes_unsaved; // of all captures
	uint64_t stream_bytes_kept, stream_bytes_forgotten;
	uint64_t recent_forgotten; // ended flows that the store has let go of
};
void export_stats(struct export *, struct export_stats *ret);

// --- The recent store: ended flows, newest kept ---

// Runs a query over the store. Same fields as for a table: top fills the best `limit`; list goes on
// from next (0 first; UINT32_MAX at the end), oldest first, and goes on at the oldest one left where
// the store has forgotten next; get finds flow_id's latest part. Parts of flows that went on (end
// active) are not kept. Thread: control.
void export_recent_query(struct export *, struct flow_query *);

// Forgets a capture's flows (capture.stop). Thread: control.
void export_recent_forget(struct export *, uint16_t capture);
