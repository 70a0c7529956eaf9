// SPDX-License-Identifier: Apache-2.0
// libpcap as oracle, over all reference captures: packet for packet the same where it reads the file,
// and the same choice for each of a list of filters, as machine code and as libpcap runs them.
#include "testlib.h"

#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "capture_internal.h"

static const char *const filters[] = {
	"tcp",
	"udp port 53",
	"ip6",
	"arp or rarp",
	"icmp or icmp6",
	"host 192.168.1.1",
	"net 10.0.0.0/8",
	"src net 192.168.0.0/16 and not dst port 80",
	"tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
	"tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420",
	"portrange 1000-2000",
	"greater 500",
	"less 100",
	"len % 3 = 1",
	"ip[0] & 0xf > 5",
	"ip[6:2] & 0x1fff != 0",
	"ip proto 47 or ip proto 41",
	"ip6 proto 17",
	"ip6 host fe80::1 or ip6 net ff00::/8",
	"ip broadcast or ip multicast",
	"udp[8:2] > udp[10:2]",
	"ip[ip[2:2] - 4:4] & 1 = 1",
	"ip[ip[4:4]] = 0",
	"(tcp port 443 or udp port 443) and ip[2:2] > 300",
	"not (tcp or udp)",
	"ip and ip[8] < 64 and ip[8] * 2 > 100",
	"1 << (ip[0] & 3) = 2",
	"ip[1] ^ ip[8] = 64",
	"ip[2:2] / 3 >= 20",
	"ip6 protochain 6",
	"vlan and ip",
	"mpls and ip",
	"pppoes and ip",
	"ether host 00:11:22:33:44:55 or ether multicast",
};

enum { FILTERS = sizeof(filters) / sizeof(filters[0]) };

static unsigned long matched[FILTERS], compared[FILTERS];
static unsigned files, refused_files;

static void compare_packet(
	const char *path, const struct seen *s, const struct pcap_pkthdr *h, const uint8_t *data)
{
	uint64_t ns = (uint64_t)h->ts.tv_sec * 1000000000 + (uint64_t)h->ts.tv_usec;

	if (s->ts_ns != ns || s->caplen != h->caplen || s->wirelen != h->len ||
		memcmp(s->data, data, h->caplen) != 0)
		fail_msg("%s: packet %llu: %llu ns %u of %u bytes, libpcap has %llu ns %u of %u",
			path, (unsigned long long)s->seq, (unsigned long long)s->ts_ns, s->caplen,
			s->wirelen, (unsigned long long)ns, h->caplen, h->len);
}

static void compare_file(const char *path)
{
	char source[4200], error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *h;
	const uint8_t *data;
	struct run r;
	pcap_t *p = pcap_open_offline_with_tstamp_precision(
		path, PCAP_TSTAMP_PRECISION_NANO, error);
	size_t n = 0;
	int result;

	snprintf(source, sizeof(source), "pcap:%s", path);
	run_source(&r, source, NULL, 0);
	files++;
	if (r.opened != 0)
		fail_msg("%s: %s", path, r.error);
	if (p == NULL) {
		refused_files++;
		assert_int_equal(r.state, CAPTURE_RX_END);
		run_free(&r);
		return;
	}
	while ((result = pcap_next_ex(p, &h, &data)) == 1) {
		if (n == r.count)
			fail_msg("%s: %zu packets, libpcap has more; %s", path, n, r.reason);
		compare_packet(path, &r.pkts[n], h, data);
		assert_int_equal(link_to_dlt(r.pkts[n].link), pcap_datalink(p));
		n++;
	}
	if (result == PCAP_ERROR_BREAK) { // end of file
		if (n != r.count || r.state != CAPTURE_RX_END)
			fail_msg(
				"%s: %zu packets, libpcap has %zu; %s", path, r.count, n, r.reason);
	} else if (strstr(pcap_geterr(p), "different from the type") != NULL) {
		refused_files++; // mixed link types, which only we read
		assert_int_equal(r.state, CAPTURE_RX_END);
	} else if (n != r.count || r.state != CAPTURE_RX_FAILED) {
		fail_msg("%s: %zu packets, %s; libpcap: %zu, %s", path, r.count, r.reason, n,
			pcap_geterr(p));
	}
	pcap_close(p);
	run_free(&r);
}

static void files_are_read_as_libpcap_reads_them(void **state)
{
	(void)state;
	assert_true(captures_each(compare_file) > 100);
	print_message("%u files, %u of them refused by libpcap\n", files, refused_files);
	assert_true(refused_files < files / 10);
}

static void compare_filter(unsigned i, const struct run *r, int dlt)
{
	struct bpf_program program;
	struct filter *f;
	char error[CAPTURE_ERROR_MAX];
	pcap_t *dead = pcap_open_dead(dlt, 262144);
	bool compiles = pcap_compile(dead, &program, filters[i], 1, PCAP_NETMASK_UNKNOWN) == 0;

	if (filter_new(filters[i], link_from_dlt(dlt), &f, error, sizeof(error)) != 0) {
		assert_false(compiles);
		assert_non_null(strstr(error, pcap_geterr(dead)));
		pcap_close(dead);
		return;
	}
	assert_true(compiles);
	for (size_t n = 0; n < r->count; n++) {
		const struct seen *s = &r->pkts[n];
		struct packet p = {.data = s->data,
			.caplen = s->caplen,
			.wirelen = s->wirelen,
			.link = s->link};
		struct pcap_pkthdr h = {.caplen = s->caplen, .len = s->wirelen};
		bool want = pcap_offline_filter(&program, &h, s->data) != 0;

		if (link_to_dlt(s->link) != dlt) // in files of several link types
			continue;
		if (filter_match(f, &p) != want || filter_match_pcap(f, &p) != want)
			fail_msg("filter '%s', packet %zu of %u bytes: %d, by libpcap's code %d, "
				 "not %d",
				filters[i], n + 1, s->caplen, filter_match(f, &p),
				filter_match_pcap(f, &p), want);
		compared[i]++;
		matched[i] += want;
	}
	filter_free(f);
	pcap_freecode(&program);
	pcap_close(dead);
}

static void filter_file(const char *path)
{
	char source[4200];
	struct run r;

	snprintf(source, sizeof(source), "pcap:%s", path);
	run_source(&r, source, NULL, 0);
	assert_int_equal(r.opened, 0);
	for (unsigned i = 0; r.count > 0 && i < FILTERS; i++)
		compare_filter(i, &r, link_to_dlt(r.pkts[0].link));
	run_free(&r);
}

static void filters_choose_as_libpcap_does(void **state)
{
	unsigned telling = 0;

	(void)state;
	captures_each(filter_file);
	for (unsigned i = 0; i < FILTERS; i++)
		telling += matched[i] > 0 && matched[i] < compared[i];
	assert_true(telling >= 30); // filters that choose: some packets and not all
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_read_as_libpcap_reads_them),
		cmocka_unit_test(filters_choose_as_libpcap_does),
	};

	if (captures_folder() == NULL) {
		printf("no reference captures (PKTAI_CAPTURES): skipped\n");
		return 77;
	}
	return cmocka_run_group_tests_name("capture oracle", tests, NULL, NULL);
}
