package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mtaharden/playbooks"
	"mtaharden/remediate/mta/all"
)

func newPlaybookCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "playbook",
		Short: "Show the rules that hosts are judged by",
		Args:  unknownCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newPlaybookListCommand(), newPlaybookShowCommand(), newPlaybookLintCommand(), newPlaybookExplainCommand())
	return c
}

// showing are the flags of the commands that show rules.
type showing struct {
	playbooks    []string
	format, lang string
}

func (s *showing) register(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&s.playbooks, "playbook", nil, "show playbook `NAME|FILE` (may be repeated; default baseline)")
	f.StringVar(&s.format, "format", "text", "text or json")
	f.StringVar(&s.lang, "lang", "en", "en or ko")
}

// rules loads the rules of the flags, or of the names given as arguments.
func (s *showing) rules(c *cobra.Command, names []string) ([]playbooks.Rule, error) {
	if err := oneOf("--format", s.format, []string{"text", "json"}); err != nil {
		return nil, usageError(c, err)
	}
	if err := oneOf("--lang", s.lang, []string{"en", "ko"}); err != nil {
		return nil, usageError(c, err)
	}
	return newRuleBooks(slices.Concat(s.playbooks, names)).of(nil)
}

func newPlaybookListCommand() *cobra.Command {
	s := &showing{}
	c := &cobra.Command{Use: "list [NAME|FILE]...", Short: "List the rules: id, severity, controls, title"}
	s.register(c)
	c.RunE = func(c *cobra.Command, names []string) error {
		rules, err := s.rules(c, names)
		if err != nil {
			return err
		}
		if s.format == "json" {
			return encodeJSON(c.OutOrStdout(), rules)
		}
		rows := table{}
		for _, r := range rules {
			title := r.Title
			if s.lang == "ko" {
				title = r.TitleKo
			}
			rows = append(rows, []string{r.ID, string(r.Severity), strings.Join(r.Controls, " "), title})
		}
		var b strings.Builder
		rows.write(&b)
		_, err = fmt.Fprint(c.OutOrStdout(), b.String())
		return err
	}
	return c
}

func newPlaybookShowCommand() *cobra.Command {
	s := &showing{}
	c := &cobra.Command{
		Use:   "show [NAME|FILE]...",
		Short: "Print the rules as one playbook, merged",
		Long: `show prints the rules as TOML, those of several playbooks merged by rule id. What it
prints is a playbook by itself: save it, change what should differ, and give the
file to --playbook.`,
	}
	s.register(c)
	c.RunE = func(c *cobra.Command, names []string) error {
		rules, err := s.rules(c, names)
		if err != nil {
			return err
		}
		if s.format == "json" {
			return encodeJSON(c.OutOrStdout(), rules)
		}
		text, err := playbooks.TOML(rules)
		if err != nil {
			return err
		}
		_, err = c.OutOrStdout().Write(text)
		return err
	}
	return c
}

func newPlaybookLintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lint [NAME|FILE]...",
		Short: "Say what is wrong or missing in playbooks",
		Long: `lint says what keeps a playbook from loading, with file, line and column, and what is
missing from one that loads: texts in a language, steps for a person, the year of
a guide whose numbers were used again. Exit status 2 when there is anything.`,
		RunE: func(c *cobra.Command, names []string) error {
			if len(names) == 0 {
				names = playbooks.Names()
			}
			found := 0
			for _, name := range names {
				rules, err := mergeBook(nil, name)
				problems := append(playbooks.Strangers(rules, mtaNames()), playbooks.Lint(rules)...)
				if err != nil {
					var mistake *playbooks.Error
					if !errors.As(err, &mistake) {
						return badInput(err)
					}
					problems = []string{mistake.Error()}
				}
				for _, p := range problems {
					fmt.Fprintln(c.OutOrStdout(), p)
				}
				found += len(problems)
			}
			if found > 0 {
				return &status{code: exitFound}
			}
			return nil
		},
	}
}

// mtaNames are the MTAs that a playbook may speak of.
func mtaNames() []string {
	var names []string
	for _, d := range all.Drivers() {
		names = append(names, d.Name)
	}
	return names
}

func newPlaybookExplainCommand() *cobra.Command {
	s := &showing{}
	c := &cobra.Command{
		Use:     "explain RULE",
		Short:   "Tell one rule in words: what it wants, why, and how to mend it",
		Example: "  mtaharden playbook explain open-relay --lang ko",
		Args:    exactArgs(cobra.ExactArgs(1)),
	}
	s.register(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		rules, err := s.rules(c, nil)
		if err != nil {
			return err
		}
		rule, err := playbooks.Find(rules, args[0])
		if err != nil {
			return badInput(err)
		}
		if s.format == "json" {
			return encodeJSON(c.OutOrStdout(), rule)
		}
		_, err = fmt.Fprint(c.OutOrStdout(), playbooks.Explain(rule, s.lang))
		return err
	}
	return c
}
