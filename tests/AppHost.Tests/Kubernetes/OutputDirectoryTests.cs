using Aspire.Hosting;
using Platform.AppHost.Kubernetes;

namespace Platform.AppHost.Tests.Kubernetes;

public sealed class OutputDirectoryTests : IDisposable
{
    private readonly DataDirectory _scratch = new();

    private string Path => System.IO.Path.Combine(_scratch.Path, "out");

    public void Dispose() => _scratch.Dispose();

    [Fact]
    public void Publishing_again_replaces_files_and_removes_obsolete_ones()
    {
        Write(("a/x", "1"), ("b/y", "1")).ShouldBeEmpty();
        Write(("a/x", "2")).ShouldBeEmpty();

        Files().ShouldBe([".published", "a/x"]);
        Read("a/x").ShouldBe("2");
        Directory.Exists(System.IO.Path.Combine(Path, "b")).ShouldBeFalse();
    }

    [Fact]
    public void Changed_files_are_kept_and_different_new_versions_are_written_beside_them()
    {
        Write(("a", "1"), ("b", "1"), ("gone", "1"));
        foreach (var file in (string[])["a", "b", "gone"])
            File.WriteAllText(System.IO.Path.Combine(Path, file), "mine");

        Write(("a", "2"), ("b", "1")).ShouldBe(
        [
            "gone is no longer published, but was changed and is kept.",
            "a was changed and is kept; the new version is in a.new.",
        ]);
        Files().ShouldBe([".published", "a", "a.new", "b", "gone"]);
        (Read("a"), Read("a.new"), Read("b"), Read("gone")).ShouldBe(("mine", "2", "mine", "mine"));

        // Once the new version has been adopted, the copy beside it is removed.
        File.WriteAllText(System.IO.Path.Combine(Path, "a"), "2");
        Write(("a", "2"), ("b", "1")).ShouldBeEmpty();
        Files().ShouldBe([".published", "a", "b", "gone"]);
    }

    [Fact]
    public void Nothing_is_written_if_an_unknown_file_is_in_the_way()
    {
        Write(("a", "1"));
        File.WriteAllText(System.IO.Path.Combine(Path, "b"), "theirs");

        Should.Throw<DistributedApplicationException>(() => Write(("a", "2"), ("b", "2"))).Message.ShouldBe($"{Path}/b already exists and was not published here, so it is not overwritten.");

        (Read("a"), Read("b")).ShouldBe(("1", "theirs"));
    }

    [Fact]
    public void A_directory_with_other_files_is_refused_and_so_is_a_file()
    {
        Directory.CreateDirectory(Path);
        File.WriteAllText(System.IO.Path.Combine(Path, "b"), "theirs");

        Should.Throw<DistributedApplicationException>(() => Write(("a", "1"))).Message.ShouldContain("contains other files");
        Should.Throw<DistributedApplicationException>(() => OutputDirectory.Write(System.IO.Path.Combine(Path, "b"), Of(("a", "1")))).Message.ShouldContain("is a file");
        Files().ShouldBe(["b"]);
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("0000000000000000000000000000000000000000000000000000000000000000  ../outside")]
    public void A_corrupt_list_is_refused(string line)
    {
        Write(("a", "1"));
        File.WriteAllText(System.IO.Path.Combine(_scratch.Path, "outside"), "theirs");
        File.AppendAllText(System.IO.Path.Combine(Path, ".published"), line + "\n");

        Should.Throw<DistributedApplicationException>(() => Write(("a", "2"))).Message.ShouldContain("is corrupt");

        Read("a").ShouldBe("1");
        File.Exists(System.IO.Path.Combine(_scratch.Path, "outside")).ShouldBeTrue();
    }

    private IReadOnlyList<string> Write(params (string, string)[] files) => OutputDirectory.Write(Path, Of(files));

    private static SortedDictionary<string, string> Of(params (string File, string Content)[] files) =>
        new(files.ToDictionary(file => file.File, file => file.Content), StringComparer.Ordinal);

    private string Read(string file) => File.ReadAllText(System.IO.Path.Combine(Path, file));

    private IEnumerable<string> Files() => Directory.GetFiles(Path, "*", SearchOption.AllDirectories).Select(file => System.IO.Path.GetRelativePath(Path, file)).Order(StringComparer.Ordinal);
}
