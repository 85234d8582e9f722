// The form of the page "Sounds in the browser".
const form = document.getElementById("sound-form");
const bar = document.getElementById("sound-progress");
const status = document.getElementById("sound-status");
const player = document.getElementById("sound-player");
const download = document.getElementById("sound-download");
const button = form.querySelector("button");
const worker = new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const values = new FormData(form);
  button.disabled = true;
  status.textContent = "loading";
  worker.postMessage({
    prompt: values.get("prompt"),
    duration: Number(values.get("duration")),
    seed: Number(values.get("seed")),
  });
});

const messages = {
  loading: ({ share, megabytes }) => {
    bar.value = share;
    status.textContent = `loading ${Math.round(share * megabytes)} of ${Math.round(megabytes)} MB`;
  },
  opening: () => (status.textContent = "opening the model"),
  generating: ({ share }) => {
    bar.value = share;
    status.textContent = "generating";
  },
  done: ({ wav, seconds }) => {
    URL.revokeObjectURL(player.src);
    player.src = URL.createObjectURL(new Blob([wav], { type: "audio/wav" }));
    download.href = player.src;
    download.hidden = false;
    status.textContent = `generated in ${seconds.toFixed(1)} s`;
    button.disabled = false;
    player.play().catch(() => {}); // some browsers wait for a click
  },
  error: ({ message }) => {
    status.textContent = `${message}. Is the model in this copy of the documentation? See below.`;
    button.disabled = false;
  },
};
worker.onmessage = ({ data }) => messages[data.kind](data);
