package setup

import (
	"errors"
	"strings"
	"testing"
)

var number = Question{Flag: "limit", Text: "Explained in a line.\nHow many?", Suggest: "10", Check: func(answer string) error {
	if answer != "10" && answer != "11" {
		return errors.New("neither 10 nor 11")
	}
	return nil
}}

var colour = Question{Flag: "colour", Text: "Which colour?", Choices: []Choice{{"red", "red"}, {"blue", "blue, as the sea"}}}

func TestAFlagAnswersItsQuestion(t *testing.T) {
	a := &Asker{Flags: map[string]string{"limit": "11", "colour": "BLUE"}}
	for _, tc := range []struct {
		q    Question
		want string
	}{{number, "11"}, {colour, "blue"}} {
		if got, err := a.Ask(t.Context(), tc.q); got != tc.want || err != nil {
			t.Errorf("%q, %v; want %q", got, err, tc.want)
		}
	}
	if err := a.Result(nil); err != nil {
		t.Error(err)
	}
	for flag, q := range map[string]Question{"limit": number, "colour": colour} {
		bad := &Asker{Flags: map[string]string{flag: "12"}}
		if _, err := bad.Ask(t.Context(), q); err == nil || !strings.HasPrefix(err.Error(), "--"+flag+": ") {
			t.Errorf("%v", err)
		}
	}
}

func TestWithoutATerminalAllMissingFlagsAreTold(t *testing.T) {
	a := &Asker{Flags: map[string]string{}}
	if got, err := a.Ask(t.Context(), number); got != "10" || err != nil {
		t.Errorf("the suggestion leads to further questions: %q, %v", got, err)
	}
	_, err := a.Ask(t.Context(), colour)
	if err == nil {
		t.Fatal("a colour was guessed")
	}
	told := a.Result(err).Error()
	for _, want := range []string{"--limit", "How many (suggested: 10)", "--colour", "Which colour: red, blue", "--yes"} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in\n%s", want, told)
		}
	}
}

func TestYesTakesWhatIsSuggestedButNotWhatIsAPersonsToSay(t *testing.T) {
	a := &Asker{Flags: map[string]string{}, Yes: true}
	if got, err := a.Ask(t.Context(), number); got != "10" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	trust := number
	trust.Person = true
	if _, err := a.Ask(t.Context(), trust); err == nil {
		t.Error("an answer of the DNS was trusted")
	}
	if err := a.Result(errUnanswered); err == nil || strings.Contains(err.Error(), "suggested") {
		t.Errorf("%v", err)
	}
}

func TestAFlagThatNoQuestionWantsIsAnError(t *testing.T) {
	a := &Asker{Flags: map[string]string{"colour": "red"}}
	if err := a.Result(nil); err == nil || !strings.Contains(err.Error(), "--colour has no use") {
		t.Errorf("%v", err)
	}
	if a.Use("colour"); a.Result(nil) != nil {
		t.Error("it was used")
	}
}

func TestASecretIsNeverTheValueOfAFlag(t *testing.T) {
	a := &Asker{Flags: map[string]string{"password-file": "sesame"}}
	if got, err := a.Ask(t.Context(), Question{Flag: "password-file", Text: "Password", Secret: true}); got != "" || err == nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestLongLinesAreBrokenBetweenWords(t *testing.T) {
	word := strings.Repeat("x", 30)
	for text, want := range map[string]string{
		"short\nlines":                    "short\nlines",
		word + " " + word + " " + word:    word + " " + word + "\n  " + word,
		strings.Repeat("y", 100) + " end": strings.Repeat("y", 100) + " end",
		strings.Repeat("é", 79):           strings.Repeat("é", 79),
	} {
		if got := fill(text, "  "); got != strings.ReplaceAll(want, "\nlines", "\n  lines") {
			t.Errorf("%q became %q", text, got)
		}
	}
}
