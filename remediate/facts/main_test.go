package facts_test

import (
	"os"
	"testing"

	"mtaharden/remediate/remote/remotetest"
)

func TestMain(m *testing.M) { os.Exit(remotetest.AtOnce(m)) }
