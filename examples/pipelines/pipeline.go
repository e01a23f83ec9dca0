package main

import (
	"encoding/json"
	"log"
	"os"
)

type line struct {
	Type     string    `json:"type"`
	Name     string    `json:"name"`
	Command  []string  `json:"command"`
	Requires *[]string `json:"requires,omitempty"`
	Needs    []string  `json:"needs,omitempty"`
}

func main() {
	file, err := os.OpenFile(os.Getenv("BUILDBOT_PIPELINE"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	say := json.NewEncoder(file).Encode // one object, one line end
	anyAgent := &[]string{}
	lines := []line{{Type: "run", Name: "build", Command: []string{"echo", "built"}}}
	for _, part := range []string{"one", "two"} {
		lines = append(lines, line{"run", "check " + part, []string{"echo", part}, anyAgent, []string{"build"}})
	}
	lines = append(lines, line{"run", "report", []string{"echo", "done"}, nil, []string{"check one", "check two"}})
	for _, each := range lines {
		if err := say(each); err != nil {
			log.Fatal(err)
		}
	}
}
