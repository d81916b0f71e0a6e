namespace Platform.TestSupport;

/// <summary>Tests that need more programs than a contributor must have, or more time. <c>./test --full</c> runs them, and lists the programs.</summary>
public static class FullTests
{
    /// <summary>Why such a test was skipped.</summary>
    public const string Skipped = "Only with ./test --full.";

    /// <summary>True when <c>FULL_TESTS</c> is <c>true</c>, as <c>./test --full</c> sets it.</summary>
    public static bool Wanted { get; } = Environment.GetEnvironmentVariable("FULL_TESTS") == "true";
}
