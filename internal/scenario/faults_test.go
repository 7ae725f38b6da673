package scenario_test

import (
	"testing"
)

// tell plays a story through every world that this binary knows: the local one, and with the tag "parts" the AWS one.
func tell(t *testing.T, name string) {
	t.Helper()
	t.Parallel()
	for world, build := range worlds(t) {
		t.Run(world, func(t *testing.T) {
			t.Parallel()
			play(t, read(t, name), build)
		})
	}
}

func TestFault01_AStrangerInAThreadGetsACaseOfTheirOwn(t *testing.T) {
	tell(t, "reference-in-a-strangers-subject")
}

func TestFault02_ASpoofedSenderInAThreadIsHeldAsUnverified(t *testing.T) {
	tell(t, "unverified-mail-cites-a-case")
}

func TestFault10_FormsNamingAVictimAreAcknowledgedOnceAnHour(t *testing.T) {
	tell(t, "form-with-acknowledgement")
}

func TestFault11_AutomaticMailIsRecordedAndAnswersNothing(t *testing.T) { tell(t, "auto-reply") }

func TestFault12_MailFromOurOwnAddressMakesNoCase(t *testing.T) { tell(t, "own-address") }

func TestFault16_AWrongSignatureIsRefusedAndNotParsed(t *testing.T) { tell(t, "wrong-signature") }

func TestFault22_OneMalformedItemLeavesTheRestOfItsBatch(t *testing.T) { tell(t, "cloudevents-batch") }

func TestFault23_AnUnknownKindOfMessageIsKeptAndShown(t *testing.T) { tell(t, "novelty") }

func TestFault24_DeliveredAfterReadChangesNothing(t *testing.T) { tell(t, "receipts-out-of-order") }

func TestFault25_TheSameMessageOnTwoWorkersBecomesOneEntry(t *testing.T) {
	tell(t, "same-message-on-two-workers")
}

func TestFault25_TheSameMessageTwiceInABatchBecomesOneEntry(t *testing.T) {
	tell(t, "same-message-in-one-batch-twice")
}

func TestFault26_TenMessagesOfANewContactMakeOneCaseAndOneCustomer(t *testing.T) {
	tell(t, "ten-at-once-from-a-stranger")
}

func TestFault27_AWorkerKilledBeforeItsWriteIsMadeUpFor(t *testing.T) {
	tell(t, "killed-before-writing")
}

func TestFault28_AnAlbumIsTenEntriesInOrderInOneCase(t *testing.T) { tell(t, "album") }

func TestFault32_AFileThatIsGoneLeavesTheTextAndAPlaceholder(t *testing.T) {
	tell(t, "picture-is-gone")
}

func TestFault57_OneFailingRecordOfTenComesAgainAlone(t *testing.T) { tell(t, "one-of-ten-fails") }

func TestFault58_AThrottleStormPutsOffAndDeadLettersNothing(t *testing.T) { tell(t, "table-throttles") }

func TestFault58_NotificationsThatAreHalfTakenAreAllThereInTheEnd(t *testing.T) {
	tell(t, "notifications-half-taken")
}

func TestFault58_AHotPartitionDeadLettersNothing(t *testing.T) { tell(t, "table-refuses-reads") }

func TestFault59_RedrivingTwiceMakesOneEntry(t *testing.T) { tell(t, "poisoned-and-redriven-twice") }

func TestFault60_AKilledWorkersMessageIsTakenOverAfterItsVisibility(t *testing.T) {
	tell(t, "killed-after-writing")
}

func TestFault61_AWriteThatLandsWithoutAnAnswerCountsOnce(t *testing.T) {
	tell(t, "table-loses-answers")
}

func TestFault62_AnAnswerThatMayHaveBeenTakenIsNeverSentAgain(t *testing.T) {
	tell(t, "uncertain-settled-by-tag")
}

func TestFault62_AWorkerKilledWhileSendingLeavesItUncertain(t *testing.T) {
	tell(t, "killed-while-sending")
}

func TestFault63_AMailAnnouncedTwiceIsOneEntry(t *testing.T) { tell(t, "mail-announced-twice") }

func TestFault64_TheSetUpObjectOfSESIsNoMail(t *testing.T) { tell(t, "mail-setup-object") }

func TestFault65_AConnectionThatIsGoneIsForgottenAndTheClientMissesNothing(t *testing.T) {
	tell(t, "socket-gone")
}

func TestFault66_AnExpiredItemThatIsStillThereCountsAsExpired(t *testing.T) {
	tell(t, "expired-items")
}

func TestFault67_AStaleIndexChangesNoJoining(t *testing.T) { tell(t, "stale-index") }
