// SPDX-License-Identifier: Apache-2.0
// Figures for people; see units.h.
#include "units.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *units_count(double n, char *text)
{
	snprintf(text, UNITS_MAX, "%.0f", n);
	return text;
}

// Three digits that count, with a prefix of thousands.
static const char *scaled(double n, const char *const *names, unsigned count, char *text)
{
	unsigned i = 0;

	// 999.5 would be written as 1000
	while (i + 1 < count && n >= 999.5) {
		n /= 1000;
		i++;
	}
	if (i == 0)
		snprintf(text, UNITS_MAX, "%.*f %s", n == floor(n) ? 0 : 1, n, names[0]);
	else
		snprintf(text, UNITS_MAX, "%.*f %s",
			n >= 99.95   ? 0
			: n >= 9.995 ? 1
				     : 2,
			n, names[i]);
	return text;
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const char *units_bytes(double n, char *text)
{
	static const char *const names[] = {"B", "KB", "MB", "GB", "TB", "PB"};

	return scaled(n, names, COUNT(names), text);
}

const char *units_bits_rate(double n, char *text)
{
	static const char *const names[] = {"bps", "Kbps", "Mbps", "Gbps", "Tbps"};

	return scaled(n, names, COUNT(names), text);
}

const char *units_pkts_rate(double n, char *text)
{
	static const char *const names[] = {"pps", "Kpps", "Mpps", "Gpps"};

	return scaled(n, names, COUNT(names), text);
}

const char *units_seconds(double s, char *text)
{
	static const char *const names[] = {"ns", "us", "ms"};
	unsigned long whole;

	if (s <= 0)
		return strcpy(text, "0 s");
	if (s < 0.9995)
		return scaled(s * 1e9, names, COUNT(names), text);
	if (s < 59.95) {
		snprintf(text, UNITS_MAX, "%.*f s", s >= 9.995 ? 1 : 2, s);
		return text;
	}
	whole = (unsigned long)(s + 0.5);
	if (whole < 3600)
		snprintf(text, UNITS_MAX, "%lu m %02lu s", whole / 60, whole % 60);
	else if (whole < 86400)
		snprintf(text, UNITS_MAX, "%lu h %02lu m", whole / 3600, whole / 60 % 60);
	else
		snprintf(text, UNITS_MAX, "%lu d %02lu h", whole / 86400, whole / 3600 % 24);
	return text;
}

const char *units_percent(double share, char *text)
{
	// floor: 100 % is said only of what is complete
	snprintf(text, UNITS_MAX, "%.0f %%", floor(share * 100 + 1e-9));
	return text;
}

const char *units_clock(double s, char *text)
{
	unsigned long whole = s > 0 && s < 1e9 ? (unsigned long)(s + 0.5) : 0;

	if (whole < 3600)
		snprintf(text, UNITS_MAX, "%lu:%02lu", whole / 60, whole % 60);
	else
		snprintf(text, UNITS_MAX, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60,
			whole % 60);
	return text;
}

const cJSON *member(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

double member_number(const cJSON *object, const char *name)
{
	const cJSON *v = member(object, name);

	return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

const char *member_text(const cJSON *object, const char *name, const char *other)
{
	const cJSON *v = member(object, name);

	return cJSON_IsString(v) ? v->valuestring : other;
}

double member_sum(const cJSON *object)
{
	const cJSON *v;
	double sum = 0;

	cJSON_ArrayForEach (v, object)
		sum += cJSON_IsNumber(v) ? v->valuedouble : 0;
	return sum;
}

int time_parse(const char *text, double *ret)
{
	struct tm t = {0};
	double fraction = 0, scale = 0.1;
	int hours, minutes, sign;
	const char *s;

	s = strptime(text, "%Y-%m-%dT%H:%M:%S", &t);
	if (s == NULL)
		return -EINVAL;
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++, scale /= 10)
			fraction += (*s - '0') * scale;
	*ret = (double)timegm(&t) + fraction;
	if (strcmp(s, "Z") == 0)
		return 0;
	if ((*s != '+' && *s != '-') || (sscanf(s + 1, "%2d:%2d", &hours, &minutes) != 2 &&
						sscanf(s + 1, "%2d%2d", &hours, &minutes) != 2))
		return -EINVAL;
	sign = *s == '-' ? 1 : -1;
	*ret += sign * (hours * 3600.0 + minutes * 60.0);
	return 0;
}

static void endpoint(
	const cJSON *record, const char *ip_name, const char *port_name, char *text, size_t size)
{
	const char *ip = member_text(record, ip_name, "?");
	const cJSON *port = member(record, port_name);

	if (!cJSON_IsNumber(port))
		snprintf(text, size, "%s", ip);
	else if (strchr(ip, ':') != NULL)
		snprintf(text, size, "[%s]:%.0f", ip, port->valuedouble);
	else
		snprintf(text, size, "%s:%.0f", ip, port->valuedouble);
}

char *flow_name(const cJSON *record)
{
	char from[128], to[128], *name = NULL;

	endpoint(record, "src_ip", "src_port", from, sizeof(from));
	endpoint(record, "dest_ip", "dest_port", to, sizeof(to));
	return asprintf(&name, "%s -> %s", from, to) >= 0 ? name : NULL;
}
