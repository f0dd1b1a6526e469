"""What Runtimes remember: containers that are gone, and whom to ask again in the same pass."""

import threading
import time

from nsagent.model.container import Container, NameState
from nsagent.model.ids import ContainerId
from nsagent.runtimes.runtimes import Answers, Runtimes
from tests.gaps import unnamed
from tests.runtimes.stand_in import Clock, StandIn, fails, hangs, knows, names


class TestKept:
    """Containers that nobody lists any longer."""

    def collect(self, runtimes: Runtimes) -> Answers:
        runtimes.start()
        return runtimes.collect()

    def test_the_containers_of_a_dead_engine_are_kept_for_ten_minutes(self) -> None:
        clock = Clock()
        runtimes = Runtimes(
            [StandIn("one", knows("a", "b"), *[fails] * 3), StandIn("two", *[knows("b")] * 4)], clock=clock
        )
        assert self.collect(runtimes).kept == ()
        clock.now += 600
        answers = self.collect(runtimes)
        assert (names(answers.containers), names(answers.kept)) == (["b"], ["a"])
        clock.now += 0.1
        assert self.collect(runtimes).kept == ()

    def test_a_container_that_is_listed_again_is_not_kept(self) -> None:
        runtimes = Runtimes([StandIn("one", knows("a"), knows(), knows("a"))], clock=Clock())
        assert [names(self.collect(runtimes).kept) for _ in range(3)] == [[], ["a"], []]

    def test_of_the_same_id_the_record_with_a_name_is_kept(self) -> None:
        def knows_no_name(source: StandIn) -> tuple[Container, ...]:
            return (Container(ContainerId("a"), None, NameState.PENDING, None, None, True, "one"),)

        sources = [StandIn("one", knows_no_name, knows()), StandIn("two", knows("a"), knows())]
        runtimes = Runtimes(sources, clock=Clock())
        assert [names(self.collect(runtimes).kept) for _ in range(2)] == [[], ["a"]]

    def test_at_most_4096_are_kept_and_the_longest_gone_go_first(self) -> None:
        clock = Clock()
        many = [str(number) for number in range(5000)]
        runtimes = Runtimes([StandIn("one", knows("old"), knows(*many), knows())], 60.0, clock=clock)
        assert names(self.collect(runtimes).containers) == ["old"]
        assert names(self.collect(runtimes).kept) == ["old"]
        assert names(self.collect(runtimes).kept) == many[-4096:]


class TestAskAgain:
    """The second question of a pass, which shows whether a name still means the same container."""

    def test_only_who_answered_is_asked(self) -> None:
        sources = [StandIn("one", knows("a"), knows("b")), StandIn("two", fails), StandIn("three", hangs)]
        runtimes = Runtimes(sources, 0.1, clock=time.monotonic)
        runtimes.start()
        runtimes.collect()
        again = runtimes.ask_again()
        assert (names(again.containers), again.gaps, again.sources) == (["b"], (), ("one",))
        assert names(again.kept) == ["a"]
        assert [source.asked for source in sources] == [2, 1, 1]
        runtimes.close()

    def test_it_has_half_a_second_at_least(self) -> None:
        source = StandIn("one", knows("a"), hangs)
        runtimes = Runtimes([source], 0.1, clock=time.monotonic)
        runtimes.start()
        runtimes.collect()
        began = time.monotonic()
        again = runtimes.ask_again()
        assert 0.4 < time.monotonic() - began < 10
        assert again[:3] == ((), (unnamed("one", "no answer within 0.5 s"),), ("one",))
        assert names(again.kept) == ["a"]
        assert runtimes.ask_again().sources == (), "it did not answer any more"
        runtimes.close()

    def test_it_has_what_is_left_of_the_deadline(self) -> None:
        clock = Clock()
        source = StandIn("one", knows("a"), hangs)
        runtimes = Runtimes([source], 3.0, clock=clock)
        runtimes.start()
        runtimes.collect()
        clock.now += 2.25
        threading.Timer(0.05, lambda: setattr(clock, "now", clock.now + 9)).start()
        assert [gap.detail for gap in runtimes.ask_again().gaps] == ["no answer within 0.75 s"]
        runtimes.close()

    def test_without_a_pass_nobody_is_asked(self) -> None:
        source = StandIn("one", knows("a"))
        runtimes = Runtimes([source], clock=Clock())
        assert runtimes.ask_again() == ((), (), (), ())
        runtimes.start()
        assert runtimes.ask_again() == ((), (), (), ())
        assert names(runtimes.collect().containers) == ["a"]
