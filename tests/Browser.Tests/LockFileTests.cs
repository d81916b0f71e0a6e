using Platform.TestSupport;

namespace Platform.Browser.Tests;

public sealed class LockFileTests
{
    [Fact]
    public void The_npm_lock_file_pins_each_package_by_content_and_names_no_registry() => NpmLockFile.Unpinned("tests/Browser.Tests/package-lock.json").ShouldBeEmpty();
}
