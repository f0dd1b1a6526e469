"""The agent: passes without end, the reports that its config asks for, and what tells how it fares."""
