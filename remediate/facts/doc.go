// Package facts collects a host: one POSIX shell script that changes nothing, the frame its output comes in, and the Snapshot made of it.
//
// # The shell functions of a driver's part
//
// A driver's collect.sh is text of the one function that the script is; its last statement calls the driver's own main function. It
// must run in dash, bash, mksh, ksh93, busybox sh, yash and posh: no local, no arrays, no bashisms, and no case inside $( ), whose
// unpaired parentheses posh cannot read: put it into a function. Standard input is /dev/null. Globbing is on, LC_ALL is C, PATH
// holds the system programs' directories behind /usr/xpg4/bin. The part neither exits nor writes to the host. Names of variables and
// functions begin with the MTA's short name; mh_ is the script's own: of those a part may read mh_path, mh_listeners, mh_init, mh_system.
//
//	mh_file PATH…                a file: metadata, sha256, content (1 MiB), secrets masked; a path sent twice is sent once
//	mh_secret PATH…              metadata and sha256 alone
//	mh_stat PATH…                metadata alone
//	mh_tree DIR [MAX]            mh_file on the files under DIR, sorted, at most MAX (500)
//	mh_cmd NAME SECS CMD ARG…    what a program prints (1 MiB, standard error 64 KiB), stopped after SECS; CMD is a program, no function
//	mh_ask NAME SECS CMD ARG…    the same; the function's standard input is the program's
//	mh_within SECS CMD ARG…      runs a program with no input, prints what it prints and records nothing; its status, 124 where it was stopped
//	mh_fact KEY VALUE            one line
//	mh_problem TEXT              what could not be looked at, for people
//	mh_has TOOL                  true, and mh_path set, where the tool is found
//	mh_running NAME…             "PID TAB argv" of the host's processes by their program's name; they come in Snapshot.Processes too
//	mh_service NAME…             fact service:NAME = "enabled|disabled|masked|none active|inactive|- UNIT PATH LINK…" (Snapshot.Service)
//	mh_package PATH              fact package:PATH = "NAME VERSION"
//	mh_changelog PKG             fact fixed:PKG = "CVE-… DSA-…", what the package's changelog names
//	mh_maillog                   prints the mail log: 7 days, 50 MiB, newest files first
//	mh_seen NAME                 reads "ADDR TAB auth|- TAB foreign|local TAB COUNT TAB LAST", sent as Snapshot.Seen(NAME)
//
// All of them but mh_running, mh_within and mh_maillog write to the frame on standard output, so none of them may stand inside $( ) or before a pipe.
//
// A second command (Follow) has the same functions, mh_init, mh_system and mh_listeners, and nothing of the driver's first part. Its masks
// have another key: of two secrets of which each command sent one, the marks do not tell whether they are the same.
//
// # What is never sent
//
// Files whose name is that of a key or a table of credentials, and files that begin with a PEM key, have the State Secret; databases
// (*.db, *.cdb …) Binary. In all else, commands' output and command lines of processes too, the known places of secrets are masked by
// "<secret HHHHHHHH>" before they leave the host: see mask.awk.
//
// # The frame
//
//	NONCE begin 1 DIGEST SECONDS        nothing before this line is looked at
//	NONCE fact KEY VALUE
//	NONCE file path=… mode=… size=… lines=2 bytes=12
//	NONCE mask OFFSET LENGTH ORIGIN
//	|a line of content
//	|another
//	NONCE end
//	NONCE done                          without it the snapshot is not Complete
//	NONCE2 follow NONCE DIGEST SECONDS  a second command's frame, behind the first one's end
//
// Names are one word with %HH for other bytes. Every line of content begins with "|", so content imitates nothing. A section whose
// lines, bytes, size or sha256 are not those of its header is Damaged.
package facts
