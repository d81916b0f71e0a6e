using Aspire.Hosting;
using Platform.AppHost.Kubernetes;

namespace Platform.AppHost.Tests.Kubernetes;

public sealed class OutputDirectoryTests : IDisposable
{
    private readonly DataDirectory _scratch = new();

    private string Path => System.IO.Path.Combine(_scratch.Path, "out");

    public void Dispose() => _scratch.Dispose();

    [Fact]
    public void A_second_time_replaces_what_is_there_and_removes_what_is_gone()
    {
        Write(("a/x", "1"), ("b/y", "1")).ShouldBeEmpty();
        Write(("a/x", "2")).ShouldBeEmpty();

        Files().ShouldBe([".published", "a/x"]);
        Read("a/x").ShouldBe("2");
        Directory.Exists(System.IO.Path.Combine(Path, "b")).ShouldBeFalse();
    }

    [Fact]
    public void What_was_changed_is_kept_and_the_new_beside_it_where_it_differs()
    {
        Write(("a", "1"), ("b", "1"), ("gone", "1"));
        foreach (var file in (string[])["a", "b", "gone"])
            File.WriteAllText(System.IO.Path.Combine(Path, file), "mine");

        Write(("a", "2"), ("b", "1")).ShouldBe(
        [
            "gone was changed and is no longer published: it is kept.",
            "a was changed and is kept: what would be published now is in a.new.",
        ]);
        Files().ShouldBe([".published", "a", "a.new", "b", "gone"]);
        (Read("a"), Read("a.new"), Read("b"), Read("gone")).ShouldBe(("mine", "2", "mine", "mine"));

        // taken over: what is published is what is there
        File.WriteAllText(System.IO.Path.Combine(Path, "a"), "2");
        Write(("a", "2"), ("b", "1")).ShouldBeEmpty();
        Files().ShouldBe([".published", "a", "b", "gone"]);
    }

    [Fact]
    public void A_file_of_somebody_else_stops_everything_before_anything_is_written()
    {
        Write(("a", "1"));
        File.WriteAllText(System.IO.Path.Combine(Path, "b"), "theirs");

        Should.Throw<DistributedApplicationException>(() => Write(("a", "2"), ("b", "2"))).Message.ShouldBe($"{Path}/b is in the way: it was not published before, and is not overwritten.");

        (Read("a"), Read("b")).ShouldBe(("1", "theirs"));
    }

    [Fact]
    public void A_directory_with_other_things_or_a_file_is_refused()
    {
        Directory.CreateDirectory(Path);
        File.WriteAllText(System.IO.Path.Combine(Path, "b"), "theirs");

        Should.Throw<DistributedApplicationException>(() => Write(("a", "1"))).Message.ShouldContain("holds other things");
        Should.Throw<DistributedApplicationException>(() => OutputDirectory.Write(System.IO.Path.Combine(Path, "b"), Of(("a", "1")))).Message.ShouldContain("is a file");
        Files().ShouldBe(["b"]);
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("0000000000000000000000000000000000000000000000000000000000000000  ../outside")]
    public void A_damaged_list_is_not_believed(string line)
    {
        Write(("a", "1"));
        File.WriteAllText(System.IO.Path.Combine(_scratch.Path, "outside"), "theirs");
        File.AppendAllText(System.IO.Path.Combine(Path, ".published"), line + "\n");

        Should.Throw<DistributedApplicationException>(() => Write(("a", "2"))).Message.ShouldContain("is damaged");

        Read("a").ShouldBe("1");
        File.Exists(System.IO.Path.Combine(_scratch.Path, "outside")).ShouldBeTrue();
    }

    private IReadOnlyList<string> Write(params (string, string)[] files) => OutputDirectory.Write(Path, Of(files));

    private static SortedDictionary<string, string> Of(params (string File, string Content)[] files) =>
        new(files.ToDictionary(file => file.File, file => file.Content), StringComparer.Ordinal);

    private string Read(string file) => File.ReadAllText(System.IO.Path.Combine(Path, file));

    private IEnumerable<string> Files() => Directory.GetFiles(Path, "*", SearchOption.AllDirectories).Select(file => System.IO.Path.GetRelativePath(Path, file)).Order(StringComparer.Ordinal);
}
