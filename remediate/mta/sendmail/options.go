package sendmail

import "strings"

// letters are the single-letter options of sendmail before 8.7 and their names since (op.me 5.6).
var letters = map[byte]string{
	'7': "SevenBitInput", '8': "EightBitMode", 'A': "AliasFile", 'a': "AliasWait", 'B': "BlankSub", 'b': "MinFreeBlocks",
	'C': "CheckpointInterval", 'c': "HoldExpensive", 'D': "AutoRebuildAliases", 'd': "DeliveryMode", 'E': "ErrorHeader",
	'e': "ErrorMode", 'F': "TempFileMode", 'f': "SaveFromLine", 'G': "MatchGECOS", 'g': "DefaultGroup", 'H': "HelpFile",
	'h': "MaxHopCount", 'I': "ResolverOptions", 'i': "IgnoreDots", 'J': "ForwardPath", 'j': "SendMimeErrors",
	'k': "ConnectionCacheSize", 'K': "ConnectionCacheTimeout", 'L': "LogLevel", 'l': "UseErrorsTo", 'M': "Macro",
	'm': "MeToo", 'n': "CheckAliases", 'O': "DaemonPortOptions", 'o': "OldStyleHeaders", 'P': "PostmasterCopy",
	'p': "PrivacyOptions", 'Q': "QueueDirectory", 'q': "QueueFactor", 'R': "DontPruneRoutes", 'r': "Timeout",
	'S': "StatusFile", 's': "SuperSafe", 'T': "Timeout.queuereturn", 't': "TimeZoneSpec", 'U': "UserDatabaseSpec",
	'u': "DefaultUser", 'V': "FallbackMXhost", 'v': "Verbose", 'w': "TryNullMXList", 'x': "QueueLA", 'X': "RefuseLA",
	'Y': "ForkEachJob", 'y': "RecipientFactor", 'Z': "RetryFactor", 'z': "ClassFactor",
}

// conf names the m4 define of an option (cf/README, "TWEAKING CONFIGURATION OPTIONS"). HELP_FILE and its kind have no "conf".
var conf = map[string]string{
	"HelpFile": "HELP_FILE", "QueueDirectory": "QUEUE_DIR", "TimeZoneSpec": "confTIME_ZONE",
	"UseCompressedIPv6Addresses": "confUSE_COMPRESSED_IPV6_ADDRESSES",
	"AliasFile":                  "ALIAS_FILE", "AliasWait": "confALIAS_WAIT", "AllowBogusHELO": "confALLOW_BOGUS_HELO",
	"AuthMaxBits": "confAUTH_MAX_BITS", "AuthMechanisms": "confAUTH_MECHANISMS", "AuthOptions": "confAUTH_OPTIONS",
	"AuthRealm": "confAUTH_REALM", "BadRcptThrottle": "confBAD_RCPT_THROTTLE", "BlankSub": "confBLANK_SUB",
	"CACertFile": "confCACERT", "CACertPath": "confCACERT_PATH", "CRLFile": "confCRL", "CRLPath": "confCRL_PATH",
	"CertFingerprintAlgorithm": "confCERT_FINGERPRINT_ALGORITHM", "CheckAliases": "confCHECK_ALIASES",
	"CheckpointInterval": "confCHECKPOINT_INTERVAL", "CipherList": "confCIPHER_LIST", "ClassFactor": "confWORK_CLASS_FACTOR",
	"ClientCertFile": "confCLIENT_CERT", "ClientKeyFile": "confCLIENT_KEY", "ClientSSLOptions": "confCLIENT_SSL_OPTIONS",
	"ColonOkInAddr": "confCOLON_OK_IN_ADDR", "ConnectOnlyTo": "confCONNECT_ONLY_TO",
	"ConnectionCacheSize": "confMCI_CACHE_SIZE", "ConnectionCacheTimeout": "confMCI_CACHE_TIMEOUT",
	"ConnectionRateThrottle": "confCONNECTION_RATE_THROTTLE", "ConnectionRateWindowSize": "confCONNECTION_RATE_WINDOW_SIZE",
	"ControlSocketName": "confCONTROL_SOCKET_NAME", "DANE": "confDANE", "DHParameters": "confDH_PARAMETERS",
	"DataFileBufferSize": "confDF_BUFFER_SIZE", "DeadLetterDrop": "confDEAD_LETTER_DROP",
	"DefaultAuthInfo": "confDEF_AUTH_INFO", "DefaultCharSet": "confDEF_CHAR_SET", "DefaultUser": "confDEF_USER_ID",
	"DelayLA": "confDELAY_LA", "DeliverByMin": "confDELIVER_BY_MIN", "DeliveryMode": "confDELIVERY_MODE",
	"DialDelay": "confDIAL_DELAY", "DirectSubmissionModifiers": "confDIRECT_SUBMISSION_MODIFIERS",
	"DontBlameSendmail": "confDONT_BLAME_SENDMAIL", "DontExpandCnames": "confDONT_EXPAND_CNAMES",
	"DontInitGroups": "confDONT_INIT_GROUPS", "DontProbeInterfaces": "confDONT_PROBE_INTERFACES",
	"DontPruneRoutes": "confDONT_PRUNE_ROUTES", "DoubleBounceAddress": "confDOUBLE_BOUNCE_ADDRESS",
	"EightBitMode": "confEIGHT_BIT_HANDLING", "ErrorHeader": "confERROR_MESSAGE", "ErrorMode": "confERROR_MODE",
	"FallbackMXhost": "confFALLBACK_MX", "FallbackSmartHost": "confFALLBACK_SMARTHOST", "FastSplit": "confFAST_SPLIT",
	"ForkEachJob": "confSEPARATE_PROC", "ForwardPath": "confFORWARD_PATH", "HeloName": "confHELO_NAME",
	"HoldExpensive": "confCON_EXPENSIVE", "HostStatusDirectory": "confHOST_STATUS_DIRECTORY", "HostsFile": "confHOSTS_FILE",
	"IgnoreDots": "confIGNORE_DOTS", "InputMailFilters": "confINPUT_MAIL_FILTERS", "LDAPDefaultSpec": "confLDAP_DEFAULT_SPEC",
	"LogLevel": "confLOG_LEVEL", "MailboxDatabase": "confMAILBOX_DATABASE", "MatchGECOS": "confMATCH_GECOS",
	"MaxAliasRecursion": "confMAX_ALIAS_RECURSION", "MaxDaemonChildren": "confMAX_DAEMON_CHILDREN",
	"MaxHeadersLength": "confMAX_HEADERS_LENGTH", "MaxHopCount": "confMAX_HOP", "MaxMessageSize": "confMAX_MESSAGE_SIZE",
	"MaxMimeHeaderLength": "confMAX_MIME_HEADER_LENGTH", "MaxNOOPCommands": "confMAX_NOOP_COMMANDS",
	"MaxQueueAge": "confMAX_QUEUE_AGE", "MaxQueueChildren": "confMAX_QUEUE_CHILDREN",
	"MaxQueueRunSize": "confMAX_QUEUE_RUN_SIZE", "MaxRecipientsPerMessage": "confMAX_RCPTS_PER_MESSAGE",
	"MaxRunnersPerQueue": "confMAX_RUNNERS_PER_QUEUE", "MeToo": "confME_TOO", "Milter.LogLevel": "confMILTER_LOG_LEVEL",
	"Milter.macros.connect": "confMILTER_MACROS_CONNECT", "Milter.macros.data": "confMILTER_MACROS_DATA",
	"Milter.macros.envfrom": "confMILTER_MACROS_ENVFROM", "Milter.macros.envrcpt": "confMILTER_MACROS_ENVRCPT",
	"Milter.macros.eoh": "confMILTER_MACROS_EOH", "Milter.macros.eom": "confMILTER_MACROS_EOM",
	"Milter.macros.helo": "confMILTER_MACROS_HELO", "MinFreeBlocks": "confMIN_FREE_BLOCKS", "MinQueueAge": "confMIN_QUEUE_AGE",
	"MustQuoteChars": "confMUST_QUOTE_CHARS", "NiceQueueRun": "confNICE_QUEUE_RUN", "NoRecipientAction": "confNO_RCPT_ACTION",
	"OldStyleHeaders": "confOLD_STYLE_HEADERS", "OperatorChars": "confOPERATORS", "PidFile": "confPID_FILE",
	"PostmasterCopy": "confCOPY_ERRORS_TO", "PrivacyOptions": "confPRIVACY_FLAGS",
	"ProcessTitlePrefix": "confPROCESS_TITLE_PREFIX", "QueueFactor": "confQUEUE_FACTOR",
	"QueueFileMode": "confQUEUE_FILE_MODE", "QueueLA": "confQUEUE_LA", "QueueSortOrder": "confQUEUE_SORT_ORDER",
	"RandFile": "confRAND_FILE", "RecipientFactor": "confWORK_RECIPIENT_FACTOR", "RefuseLA": "confREFUSE_LA",
	"RejectLogInterval": "confREJECT_LOG_INTERVAL", "RejectNUL": "confREJECT_NUL",
	"RequiresDirfsync": "confREQUIRES_DIR_FSYNC", "ResolverOptions": "confBIND_OPTS", "RetryFactor": "confWORK_TIME_FACTOR",
	"RrtImpliesDsn": "confRRT_IMPLIES_DSN", "RunAsUser": "confRUN_AS_USER", "SSLEngine": "confSSL_ENGINE",
	"SSLEnginePath": "confSSL_ENGINE_PATH", "SafeFileEnvironment": "confSAFE_FILE_ENV", "SaveFromLine": "confSAVE_FROM_LINES",
	"SendMimeErrors": "confMIME_FORMAT_ERRORS", "ServerCertFile": "confSERVER_CERT", "ServerKeyFile": "confSERVER_KEY",
	"ServerSSLOptions": "confSERVER_SSL_OPTIONS", "ServiceSwitchFile": "confSERVICE_SWITCH_FILE",
	"SevenBitInput": "confSEVEN_BIT_INPUT", "SharedMemoryKey": "confSHARED_MEMORY_KEY",
	"SharedMemoryKeyFile": "confSHARED_MEMORY_KEY_FILE", "SingleLineFromHeader": "confSINGLE_LINE_FROM_HEADER",
	"SingleThreadDelivery": "confSINGLE_THREAD_DELIVERY", "SmtpGreetingMessage": "confSMTP_LOGIN_MSG",
	"SoftBounce": "confSOFT_BOUNCE", "StatusFile": "STATUS_FILE", "SuperSafe": "confSAFE_QUEUE",
	"TLSFallbacktoClear": "confTLS_FALLBACK_TO_CLEAR", "TLSSrvOptions": "confTLS_SRV_OPTIONS",
	"TempFileMode": "confTEMP_FILE_MODE", "Timeout.aconnect": "confTO_ACONNECT", "Timeout.auth": "confTO_AUTH",
	"Timeout.command": "confTO_COMMAND", "Timeout.connect": "confTO_CONNECT", "Timeout.control": "confTO_CONTROL",
	"Timeout.datablock": "confTO_DATABLOCK", "Timeout.datafinal": "confTO_DATAFINAL", "Timeout.datainit": "confTO_DATAINIT",
	"Timeout.fileopen": "confTO_FILEOPEN", "Timeout.helo": "confTO_HELO", "Timeout.hoststatus": "confTO_HOSTSTATUS",
	"Timeout.iconnect": "confTO_ICONNECT", "Timeout.ident": "confTO_IDENT", "Timeout.initial": "confTO_INITIAL",
	"Timeout.lhlo": "confTO_LHLO", "Timeout.mail": "confTO_MAIL", "Timeout.misc": "confTO_MISC",
	"Timeout.queuereturn": "confTO_QUEUERETURN", "Timeout.queuereturn.dsn": "confTO_QUEUERETURN_DSN",
	"Timeout.queuereturn.normal": "confTO_QUEUERETURN_NORMAL", "Timeout.queuereturn.urgent": "confTO_QUEUERETURN_URGENT",
	"Timeout.queuewarn": "confTO_QUEUEWARN", "Timeout.queuewarn.dsn": "confTO_QUEUEWARN_DSN",
	"Timeout.queuewarn.normal": "confTO_QUEUEWARN_NORMAL", "Timeout.queuewarn.urgent": "confTO_QUEUEWARN_URGENT",
	"Timeout.quit": "confTO_QUIT", "Timeout.rcpt": "confTO_RCPT", "Timeout.resolver.retrans": "confTO_RESOLVER_RETRANS",
	"Timeout.resolver.retrans.first":  "confTO_RESOLVER_RETRANS_FIRST",
	"Timeout.resolver.retrans.normal": "confTO_RESOLVER_RETRANS_NORMAL", "Timeout.resolver.retry": "confTO_RESOLVER_RETRY",
	"Timeout.resolver.retry.first":  "confTO_RESOLVER_RETRY_FIRST",
	"Timeout.resolver.retry.normal": "confTO_RESOLVER_RETRY_NORMAL", "Timeout.rset": "confTO_RSET",
	"Timeout.starttls": "confTO_STARTTLS", "TrustedUser": "confTRUSTED_USER", "TryNullMXList": "confTRY_NULL_MX_LIST",
	"UnixFromLine": "confFROM_LINE", "UnsafeGroupWrites": "confUNSAFE_GROUP_WRITES", "UseErrorsTo": "confUSE_ERRORS_TO",
	"UseMSP": "confUSE_MSP", "UserDatabaseSpec": "confUSERDB_SPEC", "XscriptFileBufferSize": "confXF_BUFFER_SIZE",
}

// others are options that no define of cf/m4/proto.m4 sets, or that have one define for each of their parts. The first
// line is of 8.18 (the program was asked), the second of versions before.
var others = []string{
	"BadRcptShutdown", "BadRcptShutdownGood", "CipherSuites", "ClientPortOptions", "DaemonPortOptions", "Milter", "QueueTimeout",
	"SetCertAltnames", "SmtpUTF8", "StrictTransportSecurity", "Timeout", "Verbose", "DANE",
	"AutoRebuildAliases", "DefaultGroup", "Macro", "MaxNOOPCommands", "FallbackMX", "QueueFactor", "UserSubmission", "RelaxedEightBit",
}

// longOption returns the name as sendmail spells it. Names are read without regard to case, a Timeout and a Milter
// option by its first word (readcf.c, setoption).
func longOption(name string) (string, bool) {
	head, tail, dotted := strings.Cut(name, ".")
	for long := range conf {
		if strings.EqualFold(long, head) {
			return long, true
		}
	}
	for _, long := range others {
		if strings.EqualFold(long, head) {
			if dotted {
				return long + "." + tail, true
			}
			return long, true
		}
	}
	return name, false
}

func letterOption(letter byte) (string, bool) {
	if name, ok := letters[letter]; ok {
		return name, true
	}
	return "O" + string(rune(letter)), false
}

// privacy are the bits of PrivacyOptions, in the order sendmail lists them.
var privacy = []string{
	"needmailhelo", "needexpnhelo", "needvrfyhelo", "noexpn", "novrfy", "restrictmailq", "restrictqrun", "restrictexpand",
	"authwarnings", "noverb", "noetrn", "noreceipts", "nobodyreturn", "noactualrecipient",
}

// goaway are the real parts of goaway: PRIV_GOAWAY in sendmail.h of 8.10 and newer. It holds neither restrictmailq nor
// restrictqrun, noetrn, nobodyreturn or noreceipts, whatever guides say; 8.9 had the first two more (release notes of 8.10.0).
var goaway = []string{"needmailhelo", "needexpnhelo", "needvrfyhelo", "noexpn", "novrfy", "authwarnings", "noverb"}

// flagWords parts the words of a PrivacyOptions value: spaces and commas part them (readcf.c, case 'p').
func flagWords(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// expandPrivacy returns the bits that values set together, and the words that sendmail does not know.
// Several lines add up; "public" is no bit and takes none away.
func expandPrivacy(values []string) (bits, bad []string) {
	set := map[string]bool{}
	for _, v := range values {
		for _, w := range flagWords(v) {
			w = strings.ToLower(w)
			switch {
			case w == "goaway":
				for _, b := range goaway {
					set[b] = true
				}
			case w == "public":
			case index(privacy, w) >= 0:
				set[w] = true
			default:
				bad = append(bad, w)
			}
		}
	}
	for _, b := range privacy {
		if set[b] {
			bits = append(bits, b)
		}
	}
	return bits, bad
}

func index(list []string, word string) int {
	for i, w := range list {
		if w == word {
			return i
		}
	}
	return -1
}
