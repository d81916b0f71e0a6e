using System.Runtime.CompilerServices;

namespace Platform.Browser.Tests;

/// <summary>A test that needs Chromium and Node.js. It is skipped unless BROWSER_TESTS is "true", which <c>./test --full</c> sets.</summary>
internal sealed class BrowserFactAttribute : FactAttribute
{
    public BrowserFactAttribute([CallerFilePath] string? file = null, [CallerLineNumber] int line = -1) : base(file, line)
    {
        if (!IsWanted)
            Skip = "Needs Chromium: run ./test --full, or set BROWSER_TESTS=true.";
    }

    public static bool IsWanted { get; } = Environment.GetEnvironmentVariable("BROWSER_TESTS") == "true";
}
