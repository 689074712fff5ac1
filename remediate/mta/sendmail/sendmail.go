// Package sendmail is the driver of sendmail 8.8 to 8.18: it finds the program, reads .cf, .mc, access database and classes,
// puts the relay questions to sendmail's own test mode, and edits the source that the live .cf is made from.
package sendmail

import (
	_ "embed"

	"mtaharden/remediate/mta"
)

//go:embed ask.sh
var ask string

//go:embed collect.sh
var collect string

// Driver is sendmail.
//
// Two judges answer. The MTA: one "sendmail -bt" for each configuration is given every question (check_rcpt, or the ruleset that it calls
// first and obeys, srv_features, and rulesets 3 and 0 for the mailer of each recipient) with the macros of the client, the listener, the
// login and the certificate set. The configuration: the rewriting rules of the .cf themselves are run over the access database, the other
// maps built from a text, the regex maps, and the classes, as collected. What only a running sendmail can ask (ldap, dns, bestmx, a map
// that was not read) is followed both ways, as are the answers of the DNS: the question is cannot-tell where they end differently, or where
// a rule looks at an answer that nobody here knows. It says first what decided (an entry by file and line, or a rule), then what led there.
//
// There is no Follow: what the first command asks needs no reading. The questions are made on the host of the keys found there, folded lines
// and class files among them, and sendmail itself answers every one, also where a rule asks a map that the reading cannot see (ldap, dns, a
// compiled map without its text). A second "-bt" with /map could only give the reading what the same sendmail has already decided by.
//
// What asking does on the host: test mode writes no file, starts no daemon, counts no statistics and queues nothing. It logs nothing but
// what is wrong with the configuration ("NOQUEUE: SYSERR(root): FILE: line N: …", mail.crit), the same as at the daemon's start. Look-ups go
// where the rules send them: the DNS for the questions' names (example.org, iana.org … and the entries' own), an LDAP or NIS server. It
// sleeps for 60 s where the host's own name is unqualified, and is stopped after 90 s. It is not asked where asking would act (a map of
// type program, socket or syslog, a class read from a program, AutoRebuildAliases), nor without root: then the reading stands alone.
//
// Settings are the long option names of the .cf (op.me 5.6): PrivacyOptions (Value: the real bits, goaway expanded; Raw: as
// written), SmtpGreetingMessage, LogLevel, MaxDaemonChildren, DaemonPortOptions (one a daemon, Listener set) and so on. Beside
// them stand:
//
//	mc:FEATURE(name)      the further arguments, for each FEATURE of the .mc and its includes; also mc:MAILER(name), mc:define(NAME)
//	class:R class:w       the words of the class, from the .cf and the files it names
//	mailer:NAME:M         the size limit of a mailer
//	helpfile              the text that HELP answers, "" where the file is empty; unset where there is no file
//	Srv_Features:CLIENT   what the access database gives a client, "" for all
//	submit:PrivacyOptions those of the submission program, from /etc/mail/submit.cf
//	cf:level              the number of the V line; cf:check_rcpt "yes" or "no"
//
// Fixes take the same names. An option is set in the .mc by its define where there is an .mc, else in the .cf; add and remove work on
// PrivacyOptions and other lists. access and relay-domains take a key ("Connect:198.51.100", "example.org") to remove, or a whole
// line to add; mc:FEATURE(name) and mc:define(NAME) are unset; helpfile is unset (the lines that name the product go);
// rule, whose value is a rule of the .cf on one line, is unset where the macro source has it too (LOCAL_RULESETS).
//
// Notes: drift, pending, stale-map, stale-daemon, promiscuous-relay, pre-8.9, unqualified-hostname, no-mc, unknown-option,
// unknown-line, glued-dnl, ineffective-entry, m4-failed, m4-not-run, not-asked, srv-features, site-rules, questions-cut, overridden.
var Driver = &mta.Driver{
	Name:       "sendmail",
	Doc:        "sendmail 8.8 to 8.18: .cf, .mc, submit.cf, access database and relay classes, asked through -bt",
	Collect:    ask + collect,
	Services:   []string{"sendmail", "sm-client"},
	Owners:     []string{"smmta", "smmsp"}, // Debian: /etc/mail is smmta:smmsp
	Detect:     detect,
	Read:       read,
	Answers:    answers,
	Again:      again,
	Remedy:     remedy,
	Edit:       edit,
	Regenerate: regenerate,
	Validate:   validate,
	Reload:     reload,
	Stage:      staging,
}
